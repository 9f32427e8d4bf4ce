"""Labelled texts of one or several tasks, their splits and their classes."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from jaxmem.core.errors import DataError
from jaxmem.data import leaks, records


class Example(NamedTuple):
  """A text, or a pair of texts, and its class.

  Attributes:
    texts: the text, or the two of a pair.
    label: the name of its class.
    where: the file and line that it was read from, for messages.
  """

  texts: tuple[str, ...]
  label: str
  where: str


@dataclasses.dataclass(frozen=True)
class Reader:
  """How records become examples.

  Attributes:
    text: the field with the text, or a template of several, see `data.template`.
    other: the same for the second text of a pair; empty reads single texts.
    label: the field with the class.
    label_end: a label ends before this text; empty takes the whole field.
    ignore: labels, separated by commas, whose records are left out.
    first_bytes: how many bytes of each text are read; 0 reads all.
    encoding: the encoding of the files.
    hint: where such data can be had, for messages.
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
    """Reads the examples of a source, in order.

    Raises:
      DataError: names the file, the line, and what is wrong.
    """
    examples = records.collect(source, self._example, self.hint, self.encoding)
    if not examples:
      raise DataError(f"{source} has no labelled text")
    return examples

  def _example(self, record: records.Record) -> Example | None:
    """Makes the example of a record, None if it is left out."""
    ignore = set(self.ignore.split(",")) if self.ignore else set()
    value = record.fields.get(self.label)
    # a number in JSON names a class as well as a word does
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
    """Returns the first bytes of a text, as many as are read."""
    if not self.first_bytes:
      return text
    # the cut may go through a character, which is then dropped
    return text.encode()[: self.first_bytes].decode(errors="ignore")


def classes(examples: Iterable[Example], source: str) -> tuple[str, ...]:
  """Returns the names of the classes, sorted.

  Args:
    examples: at least one.
    source: what the examples are, for messages.

  Raises:
    DataError: if there is only one class.
  """
  names = tuple(sorted({example.label for example in examples}))
  if len(names) < 2:
    raise DataError(f"{source} has only one class, {names[0]!r}: give two or more")
  return names


def check_known(
  examples: Iterable[Example], known: tuple[str, ...], source: str
) -> None:
  """Raises a DataError if an example of `source` has a label that is not known."""
  new = sorted({e.label for e in examples} - set(known))
  if new:
    count = sum(e.label in new for e in examples)
    raise DataError(
      f"{source} has {count} examples of {new[0]!r}, a label that training has not: "
      f"leave them out with --task.ignore {','.join(new)}, or train on some"
    )


class Files(NamedTuple):
  """The sources of the splits: SOURCE, or NAME=SOURCE separated by commas.

  Attributes:
    train: the training texts, or all texts.
    heldout: the texts that choose the checkpoint; may be empty.
    test: the texts to score; may be empty.
  """

  train: str
  heldout: str
  test: str


Splits = dict[str, list[Example]]


def splits(
  reader: Reader, files: Files, fold: tuple[int, int], seed: int
) -> leaks.Parted:
  """Reads the splits "train", "heldout" and "test" of every task, by its name.

  Without held-out files a tenth of every class is held out, drawn by the seed; a class
  with only one text is trained on. Without test files the held-out texts are tested.
  Equal texts, also of different tasks, follow the rule of `jaxmem.data.leaks`.

  Args:
    reader: reads the files.
    files: the sources of the splits.
    fold: which of how many folds is tested; (0, 0) makes no folds.
    seed: decides which texts are held out.

  Returns:
    Task -> `Splits`.

  Raises:
    DataError: if a name is missing or occurs twice, a file cannot be read or serves two
      splits, or there are too few texts to split.
  """
  if fold[1] and (files.heldout or files.test):
    raise DataError(
      f"fold {fold[0]}/{fold[1]} tests on a part of the source: leave task.heldout and "
      "task.test out"
    )
  train, *others = (_named(text) for text in files)
  for sources in others:
    if sources and set(sources) != set(train):
      raise DataError(
        f"the tasks to train on are {', '.join(train)}, elsewhere "
        f"{', '.join(sources)}: name the same"
      )
  heldout, test = others
  leaks.refuse_shared_files(
    train.values(), {"task.heldout": heldout.values(), "task.test": test.values()}
  )
  drawn: dict[str, Splits] = {}
  repeats = leaks.NONE
  for name, source in train.items():
    examples, tested = reader.read(source), []
    # a source that is split here keeps equal texts together: the report says how many
    if fold[1] or name not in heldout:
      firsts = leaks.first_of_each([*map(_key, examples)])
      count = sum(i != first for i, first in enumerate(firsts))
      repeats += leaks.Repeats(together=count)
    if fold[1]:
      examples, tested = _fold(examples, *fold, source)
    if name in heldout:
      held_out = reader.read(heldout[name])
    else:
      examples, held_out = _tenth(examples, seed, source)
    if name in test:
      tested = reader.read(test[name])
    drawn[name] = {"train": examples, "heldout": held_out, "test": tested}
  return _apart(drawn, train, repeats)


def _key(example: Example) -> leaks.Key:
  """Returns what equal examples have in common; the label is no part of it."""
  return leaks.key(*example.texts)


def _apart(
  drawn: dict[str, Splits], train: dict[str, str], repeats: leaks.Repeats
) -> leaks.Parted:
  """Drops training texts that are equal to held-out or test texts of any task."""
  result, one = {}, False
  for name, parts in drawn.items():
    others = [s for task, s in drawn.items() if task != name]
    # the encoder is shared: a text of another task is no new text to it
    scored = [_key(e) for s in others for e in (*s["heldout"], *s["test"])]
    parted = leaks.separate(parts, _key, train[name], "texts", scored)
    repeats += parted.repeats
    one = one or parted.heldout_is_test
    result[name] = dict(parted) | {"test": parted["test"] or parted["heldout"]}
  return leaks.Parted(result, repeats, one)


def _named(text: str) -> dict[str, str]:
  """Parses "NAME=SOURCE,..." to name -> source; a SOURCE alone has the name ""."""
  parts = [part.partition("=") for part in text.split(",")] if text else []
  if len(parts) == 1 and not parts[0][1]:
    return {"": text}
  sources = {name.strip(): source.strip() for name, _, source in parts}
  if not all(mark for _, mark, _ in parts) or len(sources) < len(parts):
    raise DataError(f"{text!r}: NAME=SOURCE,NAME=SOURCE of different names expected")
  return sources


def _tenth(
  examples: list[Example], seed: int, source: str
) -> tuple[list[Example], list[Example]]:
  """Returns the training examples and the held-out tenth of every class.

  A class of two different texts or more has at least one of them held out.
  """

  def choose(different: list[int]) -> set[int]:
    chosen = set()
    for name in sorted({e.label for e in examples}):
      members = np.array([i for i in different if examples[i].label == name])
      order = np.random.default_rng([seed, 1]).permutation(members)
      chosen |= set(order[: max(len(members) // 10, int(len(members) > 1))].tolist())
    return chosen

  inside, _ = leaks.sided([*map(_key, examples)], choose)
  train, heldout = _parted(examples, inside)
  if not heldout:
    raise DataError(
      f"{source} has no class with two different texts, one of which can be held out: "
      "give more, or task.heldout"
    )
  return train, heldout


def _fold(
  examples: list[Example], which: int, folds: int, source: str
) -> tuple[list[Example], list[Example]]:
  """Returns all examples but a fold, and the fold: every `folds`-th of each class."""

  def choose(different: list[int]) -> set[int]:
    counts, chosen = {}, set()
    for i in different:
      label = examples[i].label
      number = counts[label] = counts.get(label, -1) + 1
      if number % folds == which - 1:
        chosen.add(i)
    return chosen

  inside, _ = leaks.sided([*map(_key, examples)], choose)
  train, test = _parted(examples, inside)
  if not train or not test:
    raise DataError(
      f"fold {which}/{folds} of {source} has {len(test)} texts and training "
      f"{len(train)}: give more different texts of a class, or fewer folds"
    )
  return train, test


def _parted(
  examples: list[Example], inside: list[bool]
) -> tuple[list[Example], list[Example]]:
  """Returns the examples that are not inside a part, and those that are."""
  pairs = [*zip(examples, inside, strict=True)]
  return [e for e, is_in in pairs if not is_in], [e for e, is_in in pairs if is_in]


def counts(
  examples: Iterable[Example], known: tuple[str, ...]
) -> Int64[np.ndarray, " C"]:
  """Counts the examples of each class of `known`."""
  labels = [e.label for e in examples]
  return np.array([labels.count(name) for name in known], np.int64)
