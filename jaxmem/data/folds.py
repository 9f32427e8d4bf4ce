"""Folds: one part of the data is the test, the next one is held out to choose."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxmem.core import ranges
from jaxmem.core.errors import DataError, shown
from jaxmem.data import leaks


def parse(text: str, least: int = 2) -> tuple[int, int]:
  """Parses "1/5" as fold 1 of 5.

  Args:
    text: the fold and the number of folds.
    least: the least number of folds.

  Returns:
    The fold, counted from 1, and the number of folds.

  Raises:
    ValueError: if the text is not of this form, or names fewer folds than `least`.
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
  """Splits items into "test", a fold, "heldout", the next one, and "train", the others.

  Args:
    items: the items to split.
    which: the fold, 1 .. of.
    of: the number of folds, 3 at least.
    group: names the group of an item; a group lies in one fold.
    what: what groups are, for messages.
    key: returns the key of an item, see `leaks.key`; groups that share a key lie in
      one fold. None compares no content.

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
  # in turn: folds differ by a group at most
  fold = {name: i % of for i, name in enumerate(groups)}
  # the fold after the last is the first
  side = {which - 1: "test", which % of: "heldout"}
  splits: dict[str, list] = {"train": [], "heldout": [], "test": []}
  for item, name in zip(items, names, strict=True):
    splits[side.get(fold[name], "train")].append(item)
  return leaks.Parted(splits, leaks.Repeats(together=repeated))
