"""A text of several fields: a field's name, or a template such as "{title}: {body}".

In a template `{name}` stands for the text of a field, `{{` and `}}` for braces, and the
two characters `\\n` and `\\t` for a line break and a tab, so that a shell spells them.
"""

import string
from collections.abc import Callable

from jaxmem.core.errors import DataError

_EXAMPLE = "'{title}\\n{body}'"


def is_template(spec: str) -> bool:
  """Whether a spec is more than the name of a field."""
  return "{" in spec or "}" in spec


def parse(spec: str) -> list[tuple[str, str | None]]:
  """A template as pieces of text, each with the name of the field behind it, or None.

  Raises:
    DataError: if braces do not match, a name is empty or has a format, or no field is
      named.
  """
  try:
    found = list(string.Formatter().parse(spec))
  except ValueError as error:
    raise DataError(f"template {spec!r}: {error}; write it like {_EXAMPLE}") from error
  for _, name, form, conversion in found:
    if name is not None and (not name or form or conversion):
      shown = name + (f"!{conversion}" if conversion else "") + (form and f":{form}")
      raise DataError(
        f"template {spec!r} has {{{shown}}}, which names no field: write it like "
        f"{_EXAMPLE}"
      )
  if not any(name for _, name, _, _ in found):
    raise DataError(f"template {spec!r} names no field: write it like {_EXAMPLE}")
  unescaped = lambda text: text.replace("\\n", "\n").replace("\\t", "\t")
  return [(unescaped(text), name) for text, name, _, _ in found]


def fill(spec: str, text_of: Callable[[str], str]) -> str:
  """The text of a template.

  Args:
    spec: the template.
    text_of: a field's name to its text, perhaps empty.
  """
  return "".join(text + (text_of(name) if name else "") for text, name in parse(spec))
