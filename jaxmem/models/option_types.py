"""The values of options have the types that the fields of their layers declare."""

import types
import typing
from typing import Any

import numpy as np

from jaxmem.core import ranges
from jaxmem.core.errors import shown
from jaxmem.models.grammar import Entry

# How a message names the type of an option.
_NAMES = {
  int: "a whole number",
  float: "a number",
  bool: "True or False",
  str: "a word",
  types.NoneType: "None",
  tuple[int, ...]: "a tuple of whole numbers",
  Entry: "an entry",
}


def checked(value: Any, hint: Any, what: str) -> Any:
  """The value of an option, plain and hashable.

  Args:
    value: as the user gave it.
    hint: the type of the option.
    what: names the option.

  Raises:
    ValueError: if it is of another type, or a number that no device has.
  """
  value = value.item() if isinstance(value, np.generic) else value
  value = tuple(value) if isinstance(value, list) else value
  choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  if not any(_is_a(value, choice) for choice in choices):
    expected = " or ".join(_NAMES[choice] for choice in choices)
    raise ValueError(f"{what} is {shown(value)}: {expected} expected")
  for number in value if isinstance(value, tuple) else (value,):
    ranges.check_number(number, what)
  return float(value) if type(value) is int and float in choices else value


def _is_a(value: Any, hint: Any) -> bool:
  """Whether a value has the type; True is no number, and 3 may stand for 3.0."""
  if hint == tuple[int, ...]:
    return type(value) is tuple and all(type(each) is int for each in value)
  return type(value) is hint or (hint is float and type(value) is int)
