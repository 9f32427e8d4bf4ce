"""What `help()` shows of a layer: its arguments, those of its base classes too."""

import dataclasses
import inspect
import re

_TITLE = "Attributes:"
# Fields of every layer that are no argument of its mathematics.
_OF_LINEN = ("parent", "name", "change_op")


def describe(cls: type) -> None:
  """Completes the docstring and the signature of a dataclass from its base classes.

  Every field that a base class documents stands under "Attributes:", in the order of
  the constructor, so that the docstring in the file states only what is new. The
  signature leaves out what Linen adds; the constructor takes it all the same.
  """
  entries: dict[str, str] = {}
  for base in reversed(cls.__mro__):
    entries |= _parts(vars(base).get("__doc__") or "")[1]
  before, _, after = _parts(cls.__doc__ or "")
  names = [field.name for field in dataclasses.fields(cls)]
  lines = [entries[n] for n in names if n in entries and n not in _OF_LINEN]
  cls.__doc__ = "\n".join([before, _TITLE, *lines, *([after] if after else [])])

  signature = inspect.signature(cls.__init__)
  shown = [p for n, p in signature.parameters.items() if n not in ("self", *_OF_LINEN)]
  cls.__signature__ = inspect.Signature(shown)


def _parts(doc: str) -> tuple[str, dict[str, str], str]:
  """A docstring before its attributes; these, by name, as they stand; and the rest."""
  before, title, section = inspect.cleandoc(doc).partition(f"\n{_TITLE}")
  if not title:
    return f"{before}\n", {}, ""
  lines = section.split("\n")[1:]  # the first is what stands beside the title
  end = next((i for i, line in enumerate(lines) if re.match(r"\S", line)), len(lines))
  text = "\n".join(lines[:end])
  # an attribute is indented by 2, the lines that continue with it by more
  found = re.finditer(r"^  (\w+): .*(?:\n   .*)*", text, flags=re.M)
  return before, {m[1]: m[0] for m in found}, "\n".join(lines[end:])
