"""Equal records: how training never shares content with what is held out or tested.

One rule holds for every kind of data. A record is what a model reads at once: a line of
a line file, a row of a table, a document of running text. Two records are equal if
their texts are, after Unicode NFC, with line ends as "\\n", and without a byte order
mark or whitespace at both ends; case and inner whitespace count. The target is no part
of a record, so the same text under two labels is one record. The texts that count are,
by the kind of data:

- text: the whole document, or the text of the line of JSON Lines;
- labels: the text, or both texts of a pair, as far as they are read, over all tasks;
- pairs: the text to read (with gap sentences, the text before any is hidden);
- questions: the text in which the answer stands, with all questions about it;
- retrieval: the query; of titles, the document too;
- dialogue: the whole dialogue.

Equal lines within unlike documents are no leak, and neither are equal records that are
all on one side.

1. Where the library makes the split (a tenth that is held out, folds), equal records
   stand on one side. Different records are split as if there were no repeats, and
   each repeat follows the first of its kind. Groups of text that share a document are
   taken together; where they would be too large to hold out, what is held out stays
   whole and its copies leave training.
2. Where the user names the splits, one file may not serve two of them, by its own name,
   by a link or by a hard link: this is refused. Of records that are equal, also in
   files that were copied, renamed or compressed, the later split keeps its own, so that
   a published test set stays whole: held-out text loses those of the test, training
   those of both. Where training has nothing left, as after copying a whole file, this
   is refused.
3. Both are counted; the run's introduction and its report say how many.

A single document that the border of the tenth goes through stands on both sides, its
beginning in training and its end in held-out. Generated data (`task:`, `recall:`) and
series, which are cut by time, have rules of their own.
"""

import glob
import hashlib
import os
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from jaxmem.core.errors import DataError

Item = TypeVar("Item")
Key = bytes | None  # 16 bytes of a hash; None without content, which equals no other
_BOM = "\ufeff"


class Repeats(NamedTuple):
  """How many equal records were found, and what became of them.

  Attributes:
    together: how many repeat an earlier record, on whose side they stand.
    left_out: how many left training, as they equal held-out or tested records.
    left_out_of_heldout: how many left the held-out part, as they equal tested records.
  """

  together: int = 0
  left_out: int = 0
  left_out_of_heldout: int = 0

  def __add__(self, other: "Repeats") -> "Repeats":
    return Repeats(*(a + b for a, b in zip(self, other, strict=True)))

  def words(self, noun: str) -> str:
    """Returns the counts as words in brackets, for an introduction; "" without any.

    Args:
      noun: what records are called, such as "texts".
    """
    parts = []
    if self.together:
      parts.append(f"{self.together:,} repeated {noun} kept on the side of the first")
    if self.left_out:
      parts.append(
        f"{self.left_out:,} {noun} left out of training, equal to held-out or test ones"
      )
    if self.left_out_of_heldout:
      parts.append(
        f"{self.left_out_of_heldout:,} {noun} left out of the held-out part, equal to "
        "tested ones"
      )
    return f" ({'; '.join(parts)})" if parts else ""

  def numbers(self) -> dict[str, int]:
    """Returns the counts by name, for a report in JSON."""
    return self._asdict()


NONE = Repeats()  # no record equals another


class Parted(dict):
  """Splits by name, with counts of equal records.

  Attributes:
    repeats: the counts, over all splits.
    heldout_is_test: whether the test part has every held-out record, so that its score
      is that of the records which chose the checkpoint.
  """

  def __init__(
    self,
    splits: Mapping[str, Any],
    repeats: Repeats = NONE,
    heldout_is_test: bool = False,
  ):
    """Takes the records of `splits` by name, and the attributes."""
    super().__init__(splits)
    self.repeats, self.heldout_is_test = repeats, heldout_is_test


def key(*texts: str | bytes) -> Key:
  """Returns what equal records share: 16 bytes of the hash of their content.

  Args:
    *texts: the record's texts in order; bytes that are not UTF-8 count as they are.

  Returns:
    The key, or None if all texts are blank.
  """
  parts = [_normal(text) for text in texts]
  if not any(parts):
    return None
  digest = hashlib.blake2b(digest_size=16)
  for part in parts:  # the length tells ("a", "b") from ("ab", "")
    digest.update(len(part).to_bytes(8, "little") + part)
  return digest.digest()


def _normal(text: str | bytes) -> bytes:
  """Normalises a text as the module's docstring says."""
  if isinstance(text, bytes):
    if text.isascii():  # NFC changes nothing
      return _one_line_end(text).strip()
    try:
      text = text.decode()
    except UnicodeDecodeError:
      return _one_line_end(text).strip()
  text = text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
  # whoever encodes the text refuses half of a surrogate pair
  return unicodedata.normalize("NFC", text).strip().encode(errors="surrogatepass")


def _one_line_end(text: bytes) -> bytes:
  return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def file_id(path: str | os.PathLike) -> Hashable:
  """Returns device and inode of a file, the same through every link and hard link."""
  try:
    stat = os.stat(os.path.expanduser(path))
  except (OSError, ValueError):
    return os.path.realpath(path)
  return stat.st_dev, stat.st_ino


def refuse_shared_files(
  train: Iterable[str], others: Mapping[str, Iterable[str]]
) -> None:
  """Refuses files that training shares with another named split.

  Args:
    train: the sources of training; what is no file or directory (`tfds:NAME`) is
      compared by its name.
    others: the sources of each other split, by the name of its option. Two of these may
      be the same: the test part is then the held-out part.

  Raises:
    DataError: names the option and the file, and the name by which training has it.
  """
  trained = {file_id(path): path for source in train for path in _paths(source)}
  for option, sources in others.items():
    for path in (path for source in sources for path in _paths(source)):
      alias = trained.get(file_id(path))
      if alias is not None:
        link = "" if alias == path else f" (as {alias}, by a link)"
        raise DataError(
          f"{path} of {option} is trained on too{link}: keep the files apart, or the "
          "score means nothing"
        )


def _paths(source: str) -> list[str]:
  """Returns the files of a pattern; else the source itself, unless it is empty."""
  if not source:
    return []
  path = os.path.expanduser(source)
  if not os.path.exists(path) and glob.has_magic(path):
    return sorted(glob.glob(path, recursive=True)) or [source]
  return [source]


def first_of_each(keys: Sequence[Key]) -> list[int]:
  """Returns for each record the index of the first that equals it, often its own."""
  firsts: dict[bytes, int] = {}
  return [i if key is None else firsts.setdefault(key, i) for i, key in enumerate(keys)]


def sided(
  keys: Sequence[Key], choose: Callable[[list[int]], Iterable[int]]
) -> tuple[list[bool], int]:
  """Splits records so that equal ones are on one side.

  Args:
    keys: the records' keys.
    choose: takes the indices of different records, and returns those to hold out.

  Returns:
    For each record whether it is held out, and how many repeat an earlier one.
  """
  firsts = first_of_each(keys)
  different = [i for i, first in enumerate(firsts) if i == first]
  heldout = set(choose(different))
  return [first in heldout for first in firsts], len(keys) - len(different)


def without(
  items: Sequence[Item], keys: Sequence[Key], excluded: set[bytes]
) -> tuple[list[Item], int]:
  """Returns the items whose keys are not excluded, and how many are."""
  different = [x for x, key in zip(items, keys, strict=True) if key not in excluded]
  return different, len(items) - len(different)


def content_keys(keys: Iterable[Key]) -> set[bytes]:
  """Returns the keys of records with content."""
  return {key for key in keys if key is not None}


place, known = file_id, content_keys  # names before 0.2; they go in 0.3


def separate(
  splits: Mapping[str, list[Item]],
  identity: Callable[[Item], Key],
  source: str,
  noun: str,
  elsewhere: Iterable[Key] = (),
) -> Parted:
  """Applies rule 2: training loses held-out and tested records, held-out tested ones.

  Held-out records stay if the test part has all of them: see `Parted.heldout_is_test`.

  Args:
    splits: "train", "heldout" and perhaps "test", which may be empty.
    identity: returns the key of a record.
    source: where the training records are from, for messages.
    noun: what records are called.
    elsewhere: more keys that training may not have.

  Raises:
    DataError: if nothing is left to train on.
  """
  keys = {name: [identity(item) for item in items] for name, items in splits.items()}
  tested = content_keys(keys.get("test", ()))
  heldout, lost = without(splits["heldout"], keys["heldout"], tested)
  heldout_is_test = bool(tested) and not heldout
  if heldout_is_test:
    heldout, lost = splits["heldout"], 0
  excluded = tested | content_keys(keys["heldout"]) | content_keys(elsewhere)
  train, left_out = without(splits["train"], keys["train"], excluded)
  if splits["train"] and not train:
    raise DataError(
      f"all {left_out:,} {noun} of {source} stand in the held-out or test part too, "
      "copied perhaps: give others to train on"
    )
  separated = {**splits, "train": train, "heldout": heldout}
  return Parted(separated, Repeats(0, left_out, lost), heldout_is_test)


def joined(groups: Sequence[str], keys: Sequence[Key]) -> dict[str, str]:
  """Joins groups that share content.

  Args:
    groups: each record's group.
    keys: each record's key.

  Returns:
    For each group the name of the first group that it is joined with, often its own.
  """
  parent = {name: name for name in groups}  # union-find

  def root(name: str) -> str:
    while parent[name] != name:
      parent[name] = parent[parent[name]]  # path halving
      name = parent[name]
    return name

  first_group: dict[bytes, str] = {}
  order = {name: i for i, name in enumerate(parent)}
  for group, key in zip(groups, keys, strict=True):
    if key is not None:
      roots = root(group), root(first_group.setdefault(key, group))
      earlier, later = sorted(roots, key=order.get)
      parent[later] = earlier
  return {name: root(name) for name in parent}
