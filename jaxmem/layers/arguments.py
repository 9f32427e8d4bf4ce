"""What `help()` shows of a layer: its arguments and those of its base classes."""

import dataclasses
import inspect
from typing import Any

from jaxmem.core import docstrings

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
  entries = docstrings.entries(cls)
  before, _, after = docstrings.parts(cls.__doc__ or "")
  names = [field.name for field in dataclasses.fields(cls)]
  lines = [entries[n] for n in names if n in entries and n not in _OF_LINEN]
  title = docstrings.TITLE
  cls.__doc__ = "\n".join([before, title, *lines, *([after] if after else [])])

  signature = inspect.signature(cls.__init__)
  hidden = ("self", *_OF_LINEN)
  public = [p for name, p in signature.parameters.items() if name not in hidden]
  cls.__signature__ = inspect.Signature(public)
