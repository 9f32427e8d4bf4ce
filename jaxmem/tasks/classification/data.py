"""Labelled texts of one or several tasks, their splits and their classes."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from jaxmem.core.errors import DataError
from jaxmem.data import leaks, records


class Example(NamedTuple):
  """A text, perhaps with another, and its class.

  Attributes:
    texts: one or two.
    label: the name of its class.
    where: the file and line.
  """

  texts: tuple[str, ...]
  label: str
  where: str


@dataclasses.dataclass(frozen=True)
class Reader:
  """How records become examples.

  Attributes:
    text: the field with the text, or a template of several, see `data.template`.
    other: likewise of a second text; empty is none.
    label: the field with the class.
    label_end: a label is what stands before this text; empty takes it whole.
    ignore: labels, apart by commas, whose records are left out.
    first_bytes: of each text that are read; 0 is all.
    encoding: of the files.
    hint: where such data can be had.
  """

  text: str
  other: str
  label: str
  label_end: str
  ignore: str
  first_bytes: int
  encoding: str
  hint: str

  def read(self, source: str) -> list[Example]:
    """The examples of a source, in order.

    Raises:
      DataError: names the file, the line, and what is wrong.
    """
    found = records.collect(source, self._example, self.hint, self.encoding)
    if not found:
      raise DataError(f"{source} has no labelled text")
    return found

  def _example(self, record: records.Record) -> Example | None:
    """The example of a record, None if it is left out."""
    ignore = set(self.ignore.split(",")) if self.ignore else set()
    value = record.fields.get(self.label)
    # a number of a table of JSON names a class as well as a word does
    label = str(value).strip() if isinstance(value, int | str) else ""
    if not label and "" in ignore:
      return None
    if not label:
      raise DataError(
        f"{record.where} has no label in field {self.label!r}, but {value!r}: name "
        "the field with task.label, or leave such records out with task.ignore ','"
      )
    label = records.checked(label, f"{record.where}: label")
    label = label.split(self.label_end)[0] if self.label_end else label
    if label in ignore:
      return None
    names = [name for name in (self.text, self.other) if name]
    texts = tuple(self._cut(record.text(name)) for name in names)
    return Example(texts, label, record.where)

  def _cut(self, text: str) -> str:
    if not self.first_bytes:
      return text
    return text.encode()[: self.first_bytes].decode(errors="ignore")


def classes(examples: Iterable[Example], source: str) -> tuple[str, ...]:
  """The names of the classes, sorted.

  Raises:
    DataError: if there is one alone.
  """
  found = tuple(sorted({example.label for example in examples}))
  if len(found) < 2:
    raise DataError(
      f"{source} has one class alone, {found[0]!r}: nothing to tell apart"
    )
  return found


def check_known(
  examples: Iterable[Example], known: tuple[str, ...], source: str
) -> None:
  """Raises DataError if a label was not seen in training."""
  new = sorted({e.label for e in examples} - set(known))
  if new:
    count = sum(e.label in new for e in examples)
    raise DataError(
      f"{source} has {count} examples of {new[0]!r}, a label that training has not: "
      f"leave them out with --task.ignore {','.join(new)}, or train on some"
    )


class Files(NamedTuple):
  """Where examples are: SOURCE, or NAME=SOURCE apart by commas; empty is none.

  Attributes:
    train: to train on, or all there are.
    heldout: to choose by.
    test: to score.
  """

  train: str
  heldout: str
  test: str


Splits = dict[str, list[Example]]


def splits(
  reader: Reader, files: Files, fold: tuple[int, int], seed: int
) -> leaks.Parted:
  """The splits "train", "heldout" and "test" of every task by its name.

  Without held-out files a tenth of every class is held out, drawn by the seed; a class
  with one text alone is trained on. Without those to test, what is held out is tested.
  Equal texts, also of different tasks, follow the rule of `jaxmem.data.leaks`.

  Args:
    reader: of the files.
    files: the splits that are given.
    fold: which of how many folds is tested; (0, 0) is none.
    seed: of what is held out.

  Returns:
    Task -> `Splits`.

  Raises:
    DataError: if a name is missing or there twice, a file cannot be read or serves two
      splits, or there are too few texts to part.
  """
  if fold[1] and (files.heldout or files.test):
    raise DataError(
      f"fold {fold[0]}/{fold[1]} tests on a part of the source: leave task.heldout and "
      "task.test out"
    )
  train, *others = (_named(text) for text in files)
  for given in others:
    if given and set(given) != set(train):
      raise DataError(
        f"the tasks to train on are {', '.join(train)}, elsewhere {', '.join(given)}: "
        "name the same"
      )
  heldout, test = others
  leaks.refuse_shared_files(
    train.values(), {"task.heldout": heldout.values(), "task.test": test.values()}
  )
  drawn: dict[str, Splits] = {}
  repeats = leaks.NONE
  for name, source in train.items():
    examples, tested = reader.read(source), []
    if fold[1] or name not in heldout:
      firsts = leaks.first_of_each([*map(_key, examples)])
      count = sum(i != first for i, first in enumerate(firsts))
      repeats += leaks.Repeats(together=count)
    if fold[1]:
      examples, tested = _fold(examples, *fold, source)
    if name in heldout:
      held = reader.read(heldout[name])
    else:
      examples, held = _tenth(examples, seed, source)
    if name in test:
      tested = reader.read(test[name])
    drawn[name] = {"train": examples, "heldout": held, "test": tested}
  return _apart(drawn, train, repeats)


def _key(example: Example) -> leaks.Key:
  return leaks.key(*example.texts)


def _apart(
  drawn: dict[str, Splits], train: dict[str, str], repeats: leaks.Repeats
) -> leaks.Parted:
  """The splits without texts that training shares with what is scored in any task."""
  found, one = {}, False
  for name, own in drawn.items():
    others = [s for task, s in drawn.items() if task != name]
    scored = [_key(e) for s in others for e in (*s["heldout"], *s["test"])]
    parted = leaks.separate(own, _key, train[name], "texts", scored)
    repeats += parted.repeats
    one = one or parted.heldout_is_test
    found[name] = dict(parted) | {"test": parted["test"] or parted["heldout"]}
  return leaks.Parted(found, repeats, one)


def _named(text: str) -> dict[str, str]:
  """Task -> source; one without a name is ""."""
  parts = [part.partition("=") for part in text.split(",")] if text else []
  if len(parts) == 1 and not parts[0][1]:
    return {"": text}
  found = {name.strip(): source.strip() for name, _, source in parts}
  if not all(mark for _, mark, _ in parts) or len(found) < len(parts):
    raise DataError(f"{text!r}: NAME=SOURCE apart by commas, of unlike names")
  return found


def _tenth(
  examples: list[Example], seed: int, source: str
) -> tuple[list[Example], list[Example]]:
  """Most of the examples, and a tenth of every class of two different texts or more,
  one at least."""

  def choose(different: list[int]) -> set[int]:
    held = set()
    for name in sorted({e.label for e in examples}):
      own = np.array([i for i in different if examples[i].label == name])
      order = np.random.default_rng([seed, 1]).permutation(own)
      held |= set(order[: max(len(own) // 10, int(len(own) > 1))].tolist())
    return held

  inside, _ = leaks.sided([*map(_key, examples)], choose)
  train, held = _parted(examples, inside)
  if not held:
    raise DataError(
      f"{source} has no class with two different texts, one of which can be held out: "
      "give more, or task.heldout"
    )
  return train, held


def _fold(
  examples: list[Example], which: int, folds: int, source: str
) -> tuple[list[Example], list[Example]]:
  """All but a fold, and that fold: every `folds`-th of each class, in their order."""

  def choose(different: list[int]) -> set[int]:
    seen, inside = {}, set()
    for i in different:
      label = examples[i].label
      at = seen[label] = seen.get(label, -1) + 1
      inside |= {i} if at % folds == which - 1 else set()
    return inside

  inside, _ = leaks.sided([*map(_key, examples)], choose)
  train, tested = _parted(examples, inside)
  if not train or not tested:
    raise DataError(
      f"fold {which}/{folds} of {source} has {len(tested)} texts and training "
      f"{len(train)}: give more different texts of a class, or fewer folds"
    )
  return train, tested


def _parted(
  examples: list[Example], inside: list[bool]
) -> tuple[list[Example], list[Example]]:
  """Those that are outside, and those inside."""
  both = [*zip(examples, inside, strict=True)]
  return [e for e, own in both if not own], [e for e, own in both if own]


def counts(
  examples: Iterable[Example], known: tuple[str, ...]
) -> Int64[np.ndarray, " C"]:
  """Examples of each class."""
  found = [e.label for e in examples]
  return np.array([found.count(name) for name in known], np.int64)
