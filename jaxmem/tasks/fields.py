"""Reads the fields of a predictor's record, and refuses bad ones by name."""

import math
from typing import Any

from jaxmem.core.errors import UserError, shown


def text(record: dict[str, Any], name: str) -> str:
  """Returns the text in a field of a record.

  Args:
    record: the record.
    name: name of the field.

  Raises:
    UserError: if the field has no text, or text that UTF-8 cannot encode.
  """
  value = record.get(name)
  if not isinstance(value, str) or not value.strip():
    raise UserError(f'"{name}" is {shown(value)}: a text expected')
  # JSON can escape half of a surrogate pair, which tokenizers cannot encode
  try:
    value.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f'"{name}" holds half of a surrogate pair, which is no text'
    ) from error
  return value


def whole(record: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
  """Returns the whole number in a field of a record, or the default.

  Args:
    record: the record.
    name: name of the field.
    default: value of a record without the field.
    low: the smallest number that is allowed.
    high: the largest number that is allowed.

  Raises:
    UserError: if the value is no whole number in low .. high.
  """
  value = record.get(name, default)
  # `type`, because isinstance(True, int)
  if type(value) is not int or not low <= value <= high:
    raise UserError(f'"{name}" is {shown(value)}: a whole number in {low} .. {high}')
  return value


def number(record: dict[str, Any], name: str, default: float) -> float:
  """Returns the number in a field of a record, or the default.

  Args:
    record: the record.
    name: name of the field.
    default: value of a record without the field.

  Raises:
    UserError: if the value is no number, or is not finite as a float.
  """
  value = record.get(name, default)
  if type(value) not in (int, float):
    raise UserError(f'"{name}" is {shown(value)}: a number expected')
  try:
    number = float(value)
  except OverflowError:  # an int of JSON may be larger than any float
    number = math.inf
  if not math.isfinite(number):
    raise UserError(f'"{name}" is {shown(value)}: a finite number expected')
  return number
