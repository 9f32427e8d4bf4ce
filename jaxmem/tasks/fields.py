"""The fields of a record that a predictor is asked with: read, or refused by name."""

import math
from typing import Any

from jaxmem.core.errors import UserError, shown


def text(record: dict[str, Any], name: str) -> str:
  """The text in a field of a record.

  Raises:
    UserError: if there is none, or it cannot be written in UTF-8.
  """
  value = record.get(name)
  if not isinstance(value, str) or not value.strip():
    raise UserError(f'"{name}" is {shown(value)}: a text expected')
  try:
    value.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f'"{name}" holds half of a surrogate pair, which is no text'
    ) from error
  return value


def whole(record: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
  """The whole number in a field of a record, or its default.

  Raises:
    UserError: if it is no whole number in low .. high.
  """
  value = record.get(name, default)
  if type(value) is not int or not low <= value <= high:
    raise UserError(f'"{name}" is {shown(value)}: a whole number in {low} .. {high}')
  return value


def number(record: dict[str, Any], name: str, default: float) -> float:
  """The number in a field of a record, or its default.

  Raises:
    UserError: if it is no number, or none that a float can hold.
  """
  value = record.get(name, default)
  if type(value) not in (int, float):
    raise UserError(f'"{name}" is {shown(value)}: a number expected')
  try:
    number = float(value)
  except OverflowError:
    number = math.inf
  if not math.isfinite(number):
    raise UserError(f'"{name}" is {shown(value)}: a finite number expected')
  return number
