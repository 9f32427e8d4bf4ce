"""Folds: which part of what there is is asked at the end, which one chooses."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxmem.core import ranges
from jaxmem.core.errors import DataError, shown
from jaxmem.data import leaks


def parse(text: str, least: int = 2) -> tuple[int, int]:
  """Which of how many, from "1/5".

  Raises:
    ValueError: if it is not of this form, with `least` folds at least.
  """
  which, slash, of = text.partition("/")
  numbers = ranges.digits(which), ranges.digits(of)
  if not slash or None in numbers or not 1 <= numbers[0] <= numbers[1] >= least:
    raise ValueError(
      f"fold is {shown(text)}: of the form 1/5, the first of five, of {least} folds at "
      "least"
    )
  return numbers


def split(
  items: Sequence[Any],
  which: int,
  of: int,
  group: Callable[[Any], str],
  what: str,
  key: Callable[[Any], leaks.Key] | None = None,
) -> leaks.Parted:
  """The splits "test", the fold; "heldout", the one behind it; "train", the others.

  Args:
    items: to divide.
    which: 1 .. of.
    of: 3 at least.
    group: items of one group are in one fold.
    what: groups are, for messages.
    key: groups with items of one key are in one fold too, see `leaks.key`.

  Returns:
    The splits; `repeats.together` counts the groups that are in the fold of another.

  Raises:
    DataError: if there are fewer groups than folds.
  """
  names = [group(item) for item in items]
  repeated = 0
  if key:
    together = leaks.joined(names, [key(item) for item in items])
    names = [together[name] for name in names]
    repeated = len(together) - len(set(names))
  groups = list(dict.fromkeys(names))
  if len(groups) < of:
    different = " of different content" if repeated else ""
    raise DataError(
      f"{len(groups)} {what}{different} and {of} folds: give more, or fewer"
    )
  number = {name: i % of for i, name in enumerate(groups)}
  test, held = which - 1, which % of
  pick = lambda good: [
    item for item, name in zip(items, names, strict=True) if good(number[name])
  ]
  splits = {
    "train": pick(lambda n: n not in (test, held)),
    "heldout": pick(lambda n: n == held),
    "test": pick(lambda n: n == test),
  }
  return leaks.Parted(splits, leaks.Repeats(together=repeated))
