"""Docstrings taken apart: the text, the section "Attributes:", and what follows it."""

import inspect
import re

TITLE = "Attributes:"


def parts(doc: str) -> tuple[str, dict[str, str], str]:
  """Returns the text before the attributes, the attributes by name, the text after.

  Args:
    doc: the docstring of a class.
  """
  before, title, section = inspect.cleandoc(doc).partition(f"\n{TITLE}")
  if not title:
    return f"{before}\n", {}, ""
  lines = section.split("\n")[1:]  # the first is the rest of the title's line
  end = next((i for i, line in enumerate(lines) if re.match(r"\S", line)), len(lines))
  text = "\n".join(lines[:end])
  # an attribute is indented by 2, the lines that continue with it by more
  matches = re.finditer(r"^  (\w+): .*(?:\n   .*)*", text, flags=re.M)
  return before, {m[1]: m[0] for m in matches}, "\n".join(lines[end:])


def entries(cls: type) -> dict[str, str]:
  """Returns the attributes that a class and its base classes document, by name.

  Args:
    cls: the class; each entry has its name and its indentation.
  """
  found: dict[str, str] = {}
  for base in reversed(cls.__mro__):
    found |= parts(vars(base).get("__doc__") or "")[1]
  return found
