"""Checks that the values of options have the types that their layers declare."""

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


def checked(value: Any, hint: Any, label: str) -> Any:
  """Returns the value of an option as a plain, hashable value of its type.

  Args:
    value: the value as the user gave it.
    hint: the type of the option.
    label: the name of the option, for messages.

  Raises:
    ValueError: if it is of another type, or a number that no device has.
  """
  value = value.item() if isinstance(value, np.generic) else value
  value = tuple(value) if isinstance(value, list) else value
  choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  if not any(_is_a(value, choice) for choice in choices):
    expected = " or ".join(_NAMES[choice] for choice in choices)
    raise ValueError(f"{label} is {shown(value)}: {expected} expected")
  for number in value if isinstance(value, tuple) else (value,):
    ranges.check_number(number, label)
  return float(value) if type(value) is int and float in choices else value


def _is_a(value: Any, hint: Any) -> bool:
  """Returns whether a value has the type; True is no number, but 3 may mean 3.0."""
  if hint == tuple[int, ...]:
    return type(value) is tuple and all(type(item) is int for item in value)
  return type(value) is hint or (hint is float and type(value) is int)
