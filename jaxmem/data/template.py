"""A text of several fields: a field's name, or a template such as "{title}: {body}".

In a template `{name}` stands for the text of a field, `{{` and `}}` for braces, and the
two characters `\\n` and `\\t` for a line break and a tab, so that a shell spells them.
"""

import string
from collections.abc import Callable

from jaxmem.core.errors import DataError

_EXAMPLE = "'{title}\\n{body}'"


def is_template(spec: str) -> bool:
  """Returns whether a spec is more than the name of a field."""
  return "{" in spec or "}" in spec


def parse(spec: str) -> list[tuple[str, str | None]]:
  """Parses a template into literal texts, each with the field after it, or None.

  Raises:
    DataError: if braces do not match, a name is empty or has a format, or no field is
      named.
  """
  try:
    parts = list(string.Formatter().parse(spec))
  except ValueError as error:
    raise DataError(f"template {spec!r}: {error}; write it like {_EXAMPLE}") from error
  for _, name, form, conversion in parts:
    if name is not None and (not name or form or conversion):
      field = name + (f"!{conversion}" if conversion else "") + (form and f":{form}")
      raise DataError(
        f"template {spec!r} has {{{field}}}, which names no field: write it like "
        f"{_EXAMPLE}"
      )
  if not any(name for _, name, _, _ in parts):
    raise DataError(f"template {spec!r} names no field: write it like {_EXAMPLE}")
  return [
    (text.replace("\\n", "\n").replace("\\t", "\t"), name) for text, name, _, _ in parts
  ]


def fill(spec: str, text_of: Callable[[str], str]) -> str:
  """Returns the text of a template.

  Args:
    spec: the template.
    text_of: returns the text of a field by its name; it may be empty.
  """
  return "".join(text + (text_of(name) if name else "") for text, name in parse(spec))
