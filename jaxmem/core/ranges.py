"""Bounds that fields of dataclasses declare, and the function that checks them.

    @dataclasses.dataclass(frozen=True)
    class Options:
      workdir: str = required("give that of a run of `jaxmem train`")
      window: int = number(64, at_least=1)
      sinks: int = number(4, at_least=0, below="window")
      start: str = word("attention", ("attention", "random"))

    check(Options("run", sinks=-1))  # ValueError: sinks is -1: it must be ...

A number without a range must be finite in float32, or fit int32. NaN is in no range. A
field annotated with a `Literal` holds one of its words and needs no declaration.
"""

import dataclasses
import math
import operator
import typing
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jaxmem.core.errors import raised_as, shown
from jaxmem.core.registry import nearest

Number = int | float
# The largest numbers of a device, and the smallest normal one: the default limits.
INT32, INT64 = 2**31 - 1, 2**63 - 1  # bytes of files are not counted on a device
_LIMITS = np.finfo(np.float32)
FLOAT32, TINY = float(_LIMITS.max), float(_LIMITS.tiny)


@dataclasses.dataclass(frozen=True)
class Range:
  """The numbers between which a value may lie; None is no limit.

  A limit may be the name of another field of the same dataclass.

  Attributes:
    at_least: the smallest allowed value.
    above: a value must be larger than this.
    at_most: the largest allowed value.
    below: a value must be smaller than this.
    remedy: ends the message about a value that is out of range.
    text: describes the range in messages; empty is derived from the limits.
  """

  at_least: Number | str | None = None
  above: Number | str | None = None
  at_most: Number | str | None = None
  below: Number | str | None = None
  remedy: str = ""
  text: str = ""

  def holds(self, value: Number) -> bool:
    """Returns whether a value lies in the range of numbers; NaN never does."""
    limits = (
      (self.at_least, operator.ge),
      (self.above, operator.gt),
      (self.at_most, operator.le),
      (self.below, operator.lt),
    )
    good = [holds(value, limit) for limit, holds in limits if limit is not None]
    return value == value and all(good)  # NaN differs from itself

  def of(self, config: Any) -> "Range":
    """Returns the range with names of fields of `config` replaced by their values."""
    names = {n: getattr(self, n) for n in _LIMITS if isinstance(getattr(self, n), str)}
    if not names:
      return self
    numbers = {limit: getattr(config, name) for limit, name in names.items()}
    # the text keeps the names, so that the message says which field to change
    texts = {limit: f"{name} ({numbers[limit]})" for limit, name in names.items()}
    text = str(dataclasses.replace(self, remedy="", **texts))
    return dataclasses.replace(self, text=text, **numbers)

  def __str__(self) -> str:
    low = self.above if self.at_least is None else self.at_least
    high = self.below if self.at_most is None else self.at_most
    limits = [(name, getattr(self, name)) for name in _LIMITS]
    parts = [f"{n.replace('_', ' ')} {v}" for n, v in limits if v is not None]
    text = self.text or " and ".join(parts)
    if not self.text and len(parts) == 2 and low is not None and high == 1:
      left, right = "(["[self.above is None], ")]"[self.below is None]
      text = f"in {left}{low}, {high}{right}"
    return f"{text}; {self.remedy}" if self.remedy else text


_LIMITS = ("at_least", "above", "at_most", "below")


def number(
  default: Any = dataclasses.MISSING, affects: str = "all", **limits: Any
) -> Any:
  """Declares a field that holds a number, a tuple of numbers, or None.

  Args:
    default: of the field; without one the field is required.
    affects: see `affecting`.
    limits: see `Range`.
  """
  metadata = {"range": Range(**limits), "affects": affects}
  return dataclasses.field(default=default, metadata=metadata)


def number_list(default: str, **limits: Any) -> Any:
  """Declares a field that holds a text of whole numbers, such as "64,256".

  Args:
    default: of the field.
    limits: bounds of each number, see `Range`.
  """
  metadata = {"range": Range(**limits), "listed": True}
  return dataclasses.field(default=default, metadata=metadata)


def word(
  default: str, choices: Iterable[str] | Callable[[], Iterable[str]], remedy: str = ""
) -> Any:
  """Declares a field that holds one of several words.

  Args:
    default: of the field.
    choices: the words, or a function that returns them, such as that of a registry.
    remedy: ends the message about another word.
  """
  metadata = {"choices": choices, "remedy": remedy}
  return dataclasses.field(default=default, metadata=metadata)


def required(remedy: str, default: Any = "", choices: Iterable[str] = ()) -> Any:
  """Declares a field that holds a text or a tuple, which may not be empty.

  Args:
    remedy: follows "KEY is missing: ", or "KEY is empty: " for a tuple.
    default: of the field.
    choices: the words that a text may be; none is any.
  """
  metadata = {"required": remedy, "choices": choices}
  return dataclasses.field(default=default, metadata=metadata)


def affecting(affects: str, default: Any) -> Any:
  """Declares a field that says what its value affects.

  Args:
    affects: "all", the default of every field; "training", which does not change what a
      trained model computes; or "nothing", such as how long a run is, how it is shown
      or where it runs: a run may continue with another value.
    default: of the field.
  """
  return dataclasses.field(default=default, metadata={"affects": affects})


def check(config: Any, prefix: str = "") -> None:
  """Checks every field of a dataclass and of the dataclasses in it.

  Its method `check_fields`, called last, checks what no single field can declare, and
  raises a ValueError that begins with the name of a field.

  Args:
    config: the dataclass.
    prefix: of its keys in messages, such as "model."; after "--" keys are flags, which
      have dashes.

  Raises:
    ValueError: if a field is missing, out of range or none of its words; the message
      names the key, the value and what it may be.
  """
  for field in dataclasses.fields(config):
    value, name = getattr(config, field.name), field.name
    key = prefix + (name.replace("_", "-") if prefix.startswith("--") else name)
    if dataclasses.is_dataclass(value):
      check(value, key + ".")
    else:
      check_value(value, key, field, config)
  if hasattr(config, "check_fields"):
    with raised_as(ValueError, prefix):
      config.check_fields()


def check_value(value: Any, key: str, field: dataclasses.Field, config: Any) -> None:
  """Checks one value by what its field declares.

  Args:
    value: of the field.
    key: names it in messages.
    field: of a dataclass.
    config: the dataclass, whose other fields may be limits of this one.

  Raises:
    ValueError: see `check`.
  """
  declared = field.metadata
  if "required" in declared and not value:
    fault = "missing" if value == "" else "empty"
    raise ValueError(f"{key} is {fault}: {declared['required']}")
  choices = declared.get("choices")
  if typing.get_origin(field.type) is typing.Literal:
    choices = typing.get_args(field.type)
  if choices:
    names = choices() if callable(choices) else choices
    check_word(value, key, names, declared.get("remedy", ""))
  range_ = declared.get("range", Range()).of(config)
  if "listed" in declared:
    value = tuple(listed(value, key))
  for each in value if isinstance(value, tuple) else (value,):
    check_number(each, key, range_)


def check_word(value: Any, key: str, choices: Iterable[str], remedy: str = "") -> None:
  """Checks that a value is one of several words.

  Args:
    value: of the field.
    key: names the value in the message.
    choices: the words.
    remedy: ends the message.

  Raises:
    ValueError: if the value is none of them; the message lists them.
  """
  names = list(choices)
  if value in names:
    return
  hint = nearest(value, names) if isinstance(value, str) else ""
  parts = [f"one of {', '.join(names)}", hint * hint.startswith("did"), remedy]
  raise ValueError(f"{key} is {shown(value)}: {'; '.join(filter(None, parts))}")


def check_number(value: Any, key: str, range_: Range = Range()) -> None:
  """Checks a number; a value of another type passes.

  Args:
    value: of the field.
    key: names the value in the message.
    range_: the allowed values.

  Raises:
    ValueError: if the number is out of range; the message names key and range.
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
    rounded_value = float(np.float32(value))  # as on a device: 1 - 1e-9 is 1
  if abs(rounded_value) < TINY:
    rounded_value = 0.0  # devices flush what is below their normal numbers
  if not math.isfinite(rounded_value):
    bounded = range_.at_most is not None or range_.below is not None
    # 1e39 is finite in Python but not in float32
    finite = f"at most {FLOAT32:.2e}" if math.isfinite(value) else "finite"
    limits = [str(range_)] * (range_ != Range()) + [finite] * (not bounded)
    raise ValueError(f"{key} is {value}: it must be {', and '.join(limits)}")
  if not range_.holds(rounded_value):
    rounded = "" if not range_.holds(float(value)) else f" ({rounded_value} in float32)"
    raise ValueError(f"{key} is {value}{rounded}: it must be {range_}")


def listed(text: str, key: str = "") -> list[int]:
  """Returns the whole numbers of a text such as "64,256".

  Args:
    text: numbers with commas between.
    key: names the text in the message.

  Raises:
    ValueError: if a part is not a whole number.
  """
  values = [digits(part.strip()) for part in text.split(",")]
  if None in values:
    raise ValueError(f"{key} is {shown(text)}: whole numbers, with commas between")
  return values


def digits(text: str | bytes) -> int | None:
  """Returns the whole number that a text spells in at most 18 ASCII digits, else None.

  Python's `int` also reads "1_000" and digits of other scripts, and fails on thousands
  of digits.

  Args:
    text: without a sign.
  """
  return int(text) if text.isdigit() and text.isascii() and len(text) <= 18 else None


def _shown(value: int) -> str:
  """Returns an integer as text; of a long one, for which `str` fails, the size."""
  if abs(value) < 10**40:
    return str(value)
  return f"a number of about {value.bit_length() * math.log10(2):.0f} digits"
