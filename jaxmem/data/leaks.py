"""Equal records: how training never shares content with what is held out or tested.

One rule holds for every kind of data.

A record is what a model reads at once: a line of a line file, a row of a table, a
document of running text. Two records are equal if their texts are, after Unicode NFC,
with line ends as "\\n", and without a byte order mark or whitespace at both ends; case
and inner whitespace count. What has to be said is no part of it, so that the same text
under two labels is one record:

- text: the whole document, or the text of the line of JSON Lines;
- labels: the text, or both texts of a pair, as far as they are read, over all tasks;
- pairs: the text to read (with gap sentences, the text before any is hidden);
- questions: the text in which the answer stands, with all questions about it;
- retrieval: the query; of titles, the document too;
- dialogue: the whole dialogue.

Equal lines within unlike documents are no leak, and neither are equal records that are
all on one side.

1. Where the library makes the split (a tenth that is held out, folds), equal records
   stand on one side. Different records are parted as if there were no repeats, and
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
# 16 bytes for a record, None for one without content, which is equal to no other.
Key = bytes | None
_BOM = "\ufeff"


class Repeats(NamedTuple):
  """How many equal records were found, and what became of them.

  Attributes:
    together: repeats of others that stand on the side of the first of their kind.
    left_out: of training, as held-out or tested records are equal to them.
    left_out_of_heldout: as tested records are equal to them.
  """

  together: int = 0
  left_out: int = 0
  left_out_of_heldout: int = 0

  def __add__(self, other: "Repeats") -> "Repeats":
    return Repeats(*(a + b for a, b in zip(self, other, strict=True)))

  def words(self, things: str) -> str:
    """For an introduction: what was found, in brackets, or nothing.

    Args:
      things: what records are called, such as "texts".
    """
    said = []
    if self.together:
      said.append(f"{self.together:,} repeated {things} kept on the side of the first")
    if self.left_out:
      said.append(
        f"{self.left_out:,} {things} left out of training, equal to held-out or test "
        "ones"
      )
    if self.left_out_of_heldout:
      said.append(
        f"{self.left_out_of_heldout:,} {things} left out of the held-out part, "
        "equal to tested ones"
      )
    return f" ({'; '.join(said)})" if said else ""

  def numbers(self) -> dict[str, int]:
    """For a report in JSON."""
    return self._asdict()


# Nothing was found.
NONE = Repeats()


class Parted(dict):
  """Splits by name, and what was found of equal records.

  Attributes:
    repeats: of all splits.
    one: whether the test part has every held-out record, so that its score is of what
      chose the checkpoint.
  """

  def __init__(
    self, splits: Mapping[str, Any], repeats: Repeats = NONE, one: bool = False
  ):
    """Args: the splits; what was found; see above."""
    super().__init__(splits)
    self.repeats, self.one = repeats, one


def key(*texts: str | bytes) -> Key:
  """What equal records have in common: 16 bytes of the hash of their content.

  Args:
    texts: of the record, in order; bytes that are no UTF-8 count as they are.

  Returns:
    The key, or None if all texts are blank.
  """
  parts = [_normal(text) for text in texts]
  if not any(parts):
    return None
  digest = hashlib.blake2b(digest_size=16)
  for part in parts:
    digest.update(len(part).to_bytes(8, "little") + part)
  return digest.digest()


def _normal(text: str | bytes) -> bytes:
  if isinstance(text, bytes):
    if text.isascii():
      return _one_line_end(text).strip()
    try:
      text = text.decode()
    except UnicodeDecodeError:
      return _one_line_end(text).strip()
  text = text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
  # half of a surrogate pair is refused later, by who encodes the text
  return unicodedata.normalize("NFC", text).strip().encode(errors="surrogatepass")


def _one_line_end(text: bytes) -> bytes:
  return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def place(path: str | os.PathLike) -> Hashable:
  """Where a file is, the same through every link and hard link."""
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
      be one: the test part is then the held-out part.

  Raises:
    DataError: names the option and the file, and the name by which training has it.
  """
  known = {place(path): path for source in train for path in _paths(source)}
  for option, sources in others.items():
    for path in (path for source in sources for path in _paths(source)):
      first = known.get(place(path))
      if first is not None:
        same = "" if first == path else f" (as {first}, by a link)"
        raise DataError(
          f"{path} of {option} is trained on too{same}: keep the files apart, or the "
          "score means nothing"
        )


def _paths(source: str) -> list[str]:
  """The files of a pattern, else the source as it stands; none of an empty one."""
  if not source:
    return []
  path = os.path.expanduser(source)
  if not os.path.exists(path) and glob.has_magic(path):
    return sorted(glob.glob(path, recursive=True)) or [source]
  return [source]


def first_of_each(keys: Sequence[Key]) -> list[int]:
  """For each record the index of the first that is equal to it, often its own."""
  firsts: dict[bytes, int] = {}
  return [i if own is None else firsts.setdefault(own, i) for i, own in enumerate(keys)]


def sided(
  keys: Sequence[Key], choose: Callable[[list[int]], Iterable[int]]
) -> tuple[list[bool], int]:
  """Parts records so that equal ones are on one side.

  Args:
    keys: of the records.
    choose: which of these indices, each of another content, are held out.

  Returns:
    Of each record whether it is held out, and how many repeat an earlier one.
  """
  firsts = first_of_each(keys)
  different = [i for i, first in enumerate(firsts) if i == first]
  held = set(choose(different))
  return [first in held for first in firsts], len(keys) - len(different)


def without(
  items: Sequence[Item], keys: Sequence[Key], taken: set[bytes]
) -> tuple[list[Item], int]:
  """The items that are not equal to any of `taken`, and how many are."""
  kept = [item for item, own in zip(items, keys, strict=True) if own not in taken]
  return kept, len(items) - len(kept)


def known(keys: Iterable[Key]) -> set[bytes]:
  """The keys of records with content."""
  return {own for own in keys if own is not None}


def separate(
  splits: Mapping[str, list[Item]],
  identity: Callable[[Item], Key],
  source: str,
  things: str,
  elsewhere: Iterable[Key] = (),
) -> Parted:
  """Rule 2: training loses what is held out or tested, held-out what is tested.

  Held-out records stay if the test part has all of them: `Parted.one` says so.

  Args:
    splits: "train", "heldout" and perhaps "test", which may be empty.
    identity: the key of a record.
    source: of the training records, for messages.
    things: what records are called.
    elsewhere: more keys that training may not have.

  Raises:
    DataError: if nothing is left to train on.
  """
  keys = {name: [identity(item) for item in items] for name, items in splits.items()}
  tested = known(keys.get("test", ()))
  heldout, lost = without(splits["heldout"], keys["heldout"], tested)
  one = bool(tested) and not heldout
  if one:
    heldout, lost = splits["heldout"], 0
  taken = tested | known(keys["heldout"]) | known(elsewhere)
  train, left_out = without(splits["train"], keys["train"], taken)
  if splits["train"] and not train:
    raise DataError(
      f"all {left_out:,} {things} of {source} stand in the held-out or test part too, "
      "copied perhaps: give others to train on"
    )
  parted = {**splits, "train": train, "heldout": heldout}
  return Parted(parted, Repeats(0, left_out, lost), one)


def joined(groups: Sequence[str], keys: Sequence[Key]) -> dict[str, str]:
  """Groups that share content, each with the name of the first that it is one with.

  Args:
    groups: of each record.
    keys: of each record.
  """
  first = {name: name for name in groups}

  def root(name: str) -> str:
    while first[name] != name:
      first[name] = first[first[name]]
      name = first[name]
    return name

  owner: dict[bytes, str] = {}
  order = {name: i for i, name in enumerate(first)}
  for group, own in zip(groups, keys, strict=True):
    if own is not None:
      one, other = sorted(
        (root(group), root(owner.setdefault(own, group))), key=order.get
      )
      first[other] = one
  return {name: root(name) for name in first}
