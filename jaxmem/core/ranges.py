"""The range of a number is declared at its field, and checked in one way.

    @dataclasses.dataclass(frozen=True)
    class OptimConfig:
      beta1: float = number(0.9, at_least=0, below=1)

    check(OptimConfig(beta1=2.0))  # ValueError: beta1 is 2.0: it must be in [0, 1)

A number without a range must be finite in float32, or fit int32. NaN is in no range.
"""

import dataclasses
import math
import operator
from typing import Any

import numpy as np

Number = int | float
# Of an integer and of a fraction, where nothing else is declared: what a device has.
INT32 = 2**31 - 1
FLOAT32 = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)
# For bytes of files, which are not counted on a device.
INT64 = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Range:
  """Between which numbers a value may lie; None is no limit.

  Attributes:
    at_least: the smallest that it may be.
    above: what it must be larger than.
    at_most: the largest that it may be.
    below: what it must be smaller than.
  """

  at_least: Number | None = None
  above: Number | None = None
  at_most: Number | None = None
  below: Number | None = None

  def holds(self, value: Number) -> bool:
    """Whether a value lies in the range; NaN never does."""
    limits = (
      (self.at_least, operator.ge),
      (self.above, operator.gt),
      (self.at_most, operator.le),
      (self.below, operator.lt),
    )
    good = [holds(value, limit) for limit, holds in limits if limit is not None]
    return value == value and all(good)

  def __str__(self) -> str:
    low = self.above if self.at_least is None else self.at_least
    high = self.below if self.at_most is None else self.at_most
    if low is not None and high == 1:
      left, right = "(["[self.above is None], ")]"[self.below is None]
      return f"in {left}{low}, {high}{right}"
    names = ("at_least", "above", "at_most", "below")
    limits = [(name, getattr(self, name)) for name in names]
    said = [f"{n.replace('_', ' ')} {v}" for n, v in limits if v is not None]
    return " and ".join(said)


def number(default: Any = dataclasses.MISSING, **limits: Number) -> Any:
  """The field of a dataclass that holds a number.

  Args:
    default: of the field; there need be none.
    limits: see `Range`.
  """
  return dataclasses.field(default=default, metadata={"range": Range(**limits)})


def check(config: Any, prefix: str = "") -> None:
  """Checks every number of a dataclass and of those in it.

  Args:
    config: the dataclass.
    prefix: of its keys in messages, such as "model.".

  Raises:
    ValueError: for the first that is out of range; names the key and the range.
  """
  for field in dataclasses.fields(config):
    value, key = getattr(config, field.name), prefix + field.name
    if dataclasses.is_dataclass(value):
      check(value, key + ".")
    else:
      check_number(value, key, field.metadata.get("range", Range()))


def check_number(value: Any, key: str, range_: Range = Range()) -> None:
  """Checks one value; what is no number is left to others.

  Raises:
    ValueError: if it is out of range; names the key and the range.
  """
  if isinstance(value, bool) or not isinstance(value, int | float | np.number):
    return
  if isinstance(value, int | np.integer):
    if not range_.holds(int(value)):
      raise ValueError(f"{key} is {_shown(value)}: it must be {range_}")
    if range_.at_most is None and abs(int(value)) > INT32:
      limits = f"at most {INT32}" if value > 0 else f"at least {-INT32}"
      raise ValueError(f"{key} is {_shown(value)}: it must be {limits}")
    return
  with np.errstate(over="ignore"):
    seen = float(np.float32(value))  # as a device sees it: 1 - 1e-9 is 1
  if abs(seen) < TINY:
    seen = 0.0  # devices flush what is below their normal numbers
  if not math.isfinite(seen):
    bounded = range_.at_most is not None or range_.below is not None
    # 1e39 is a number, but not one that a device has
    finite = f"at most {FLOAT32:.2e}" if math.isfinite(value) else "finite"
    limits = [str(range_)] * (range_ != Range()) + [finite] * (not bounded)
    raise ValueError(f"{key} is {value}: it must be {', and '.join(limits)}")
  if not range_.holds(seen):
    rounded = "" if not range_.holds(float(value)) else f" ({seen} in float32)"
    raise ValueError(f"{key} is {value}{rounded}: it must be {range_}")


def digits(text: str | bytes) -> int | None:
  """The whole number that a text spells in ASCII digits, else None.

  None too for more than 18 digits, which nothing here counts to: Python's `int` raises
  of thousands of them, and reads "1_000" and digits of other scripts.

  Args:
    text: without a sign.
  """
  return int(text) if text.isdigit() and text.isascii() and len(text) <= 18 else None


def _shown(value: int) -> str:
  """An integer, a long one by its first digits: str refuses thousands of them."""
  if abs(value) < 10**40:
    return str(value)
  return f"a number of about {value.bit_length() * math.log10(2):.0f} digits"
