"""What `help()` shows of a layer: its arguments and those of its base classes."""

import dataclasses
import inspect
import re
from typing import Any

_TITLE = "Attributes:"
# Fields of every layer that say nothing about what it computes.
_OF_LINEN = ("parent", "name", "change_op")


def describe(cls: Any) -> None:
  """Completes the docstring and the signature of a dataclass from its base classes.

  The section "Attributes:" lists every field that a base class documents, in the order
  of the constructor, so that the docstring in the file states only what is new. The
  signature leaves out the fields that Linen adds; the constructor still takes them.

  Args:
    cls: a dataclass; its docstring and signature are replaced.
  """
  entries: dict[str, str] = {}
  for base in reversed(cls.__mro__):
    entries |= _parts(vars(base).get("__doc__") or "")[1]
  before, _, after = _parts(cls.__doc__ or "")
  names = [field.name for field in dataclasses.fields(cls)]
  lines = [entries[n] for n in names if n in entries and n not in _OF_LINEN]
  cls.__doc__ = "\n".join([before, _TITLE, *lines, *([after] if after else [])])

  signature = inspect.signature(cls.__init__)
  hidden = ("self", *_OF_LINEN)
  public = [p for name, p in signature.parameters.items() if name not in hidden]
  cls.__signature__ = inspect.Signature(public)


def _parts(doc: str) -> tuple[str, dict[str, str], str]:
  """Returns the text before the attributes, the attributes by name, the text after."""
  before, title, section = inspect.cleandoc(doc).partition(f"\n{_TITLE}")
  if not title:
    return f"{before}\n", {}, ""
  lines = section.split("\n")[1:]  # the first is the rest of the title's line
  end = next((i for i, line in enumerate(lines) if re.match(r"\S", line)), len(lines))
  text = "\n".join(lines[:end])
  # an attribute is indented by 2, the lines that continue with it by more
  matches = re.finditer(r"^  (\w+): .*(?:\n   .*)*", text, flags=re.M)
  return before, {m[1]: m[0] for m in matches}, "\n".join(lines[end:])
