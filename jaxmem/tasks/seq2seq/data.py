"""Pairs of texts, one to read and one to write, and their batches."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError
from jaxmem.data import opened, records, template, texts
from jaxmem.data.bad_records import Tally
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tokenizers import Ids, Tokenizer

# Steps whose pairs are sorted by length together, so that a batch pads little.
_TOGETHER = 16


class Pair(NamedTuple):
  """A text and what should be written of it.

  Attributes:
    source: to read.
    targets: the first is learned, all are references.
    where: the file and line.
  """

  source: str
  targets: tuple[str, ...]
  where: str


def read(
  source: str, fields: tuple[str, str], hint: str, encoding: str = "utf-8"
) -> list[Pair]:
  """The pairs of a source, in order.

  Args:
    source: files of as many lines, A,B or A,B,C,... (each may be packed), of which C
      and later ones are further references; or a file with the fields below, see
      `data.records`. A list of texts to read is joined by spaces; a list of targets are
      several references; blank ones of a list are left out.
    fields: the text to read, and that to write, or several of references apart by
      commas. A record needs the first; the others may be missing or blank in it.
    hint: where such data can be had.
    encoding: of the files.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  files = source.split(",")
  if len(files) > 1:
    pairs = _parallel(files, hint, encoding)
  else:
    make = _Maker(*fields)
    pairs = records.collect(source, make, hint, encoding)
    make.check(source)
  if not pairs:
    raise DataError(f"{source} has no pair of texts")
  return pairs


def _parallel(names: Sequence[str], hint: str, encoding: str) -> list[Pair]:
  """Reads files of as many lines: sources, targets, and further references."""
  sides = []
  for name in names:
    lines = records.lines(opened.Member(records.located(name, hint)), encoding)
    sides.append([(text.strip(), fault) for _, text, fault in lines])
    if len(sides[-1]) != len(sides[0]):
      raise DataError(
        f"{names[0]} has {len(sides[0]):,} lines and {name} {len(sides[-1]):,}: line n "
        "of one must be that of the other"
      )
  pairs, tally = [], Tally(",".join(names))
  for n, lines in enumerate(zip(*sides, strict=True), start=1):
    where = f"{names[0]} line {n}"
    try:
      for i, (text, fault) in enumerate(lines):
        if fault:
          raise DataError(fault)
        if not text and i < 2:  # a further reference may be missing
          raise DataError(f"{names[i]} line {n} is empty: leave it out of all files")
    except DataError as error:
      tally.bad(where, error)
      continue
    tally.good()
    targets = tuple(text for text, _ in lines[1:] if text)
    pairs.append(Pair(lines[0][0], targets, where))
  tally.close()
  return pairs


def text(record: records.Record, name: str) -> str:
  """A field that holds a text, or a list of texts, which are joined by spaces.

  Raises:
    DataError: if it holds none.
  """
  return " ".join(_texts(record, name))


def references(write: str) -> list[str]:
  """Returns the fields that `task.write` names, the first of which is learned."""
  if template.is_template(write):
    return [write]
  return [name.strip() for name in write.split(",")]


class _Maker:
  """Makes pairs of records whose references are in one field or several."""

  def __init__(self, source: str, target: str):
    self._source, self._target = source, target
    self._names = references(target)
    self._unseen = set(self._names[1:])  # fields that no record has had yet

  def __call__(self, record: records.Record) -> Pair:
    names = self._names
    if self._target in record.fields:  # a field whose name has commas
      names, self._unseen = [self._target], set()
    self._unseen.difference_update(record.fields)
    targets = _texts(record, names[0])
    for name in names[1:]:
      if not _is_blank(record.fields.get(name)):
        targets += _texts(record, name)
    return Pair(text(record, self._source), tuple(targets), record.where)

  def check(self, source: str) -> None:
    """Raises DataError if no record has a field of references."""
    if self._unseen:
      name = min(self._unseen)
      fault = f"no record of {source} has the field {name!r}, which task.write names"
      raise DataError(f"{fault}: correct it, or leave it out")


def _is_blank(value: Any) -> bool:
  """Returns whether a field holds no text: null, a blank one, or a list of such."""
  values = value if isinstance(value, list) else [value]
  return all(v is None or (isinstance(v, str) and not v.strip()) for v in values)


def _texts(record: records.Record, name: str) -> list[str]:
  """Blank texts of a list are left out."""
  value = record.fields.get(name)
  if not isinstance(value, list):
    return [record.text(name).strip()]
  where = f"{record.where}: field {name!r}"
  texts = [records.checked(v, f"{where}: a text of the list").strip() for v in value]
  if not any(texts):
    raise DataError(f"{where} is {value!r}: texts expected")
  return [text for text in texts if text]


class Encoded(NamedTuple):
  """Pairs as ids, those that fit.

  Attributes:
    read: ids of each source.
    write: ids of each first target.
    left_out: how many pairs are longer than a row.
  """

  read: list[Ids]
  write: list[Ids]
  left_out: int


def encode(pairs: list[Pair], tokenizer: Tokenizer, length: int) -> Encoded:
  """The ids of pairs of at most `length` tokens a side, the EOS token included.

  Raises:
    DataError: if none fits, or the tokenizer cannot read a text.
  """
  read, write = [], []
  for pair in pairs:
    ids = [
      texts.encode(t, tokenizer, pair.where) for t in (pair.source, pair.targets[0])
    ]
    if max(map(len, ids)) < length:
      read.append(ids[0])
      write.append(ids[1])
  if not read:
    raise DataError(
      f"all {len(pairs)} pairs are longer than {length} tokens: raise "
      "task.segment_length"
    )
  return Encoded(read, write, len(pairs) - len(read))


def padded(ids: Sequence[Ids], length: int) -> tuple[np.ndarray, np.ndarray]:
  """Rows of zeros behind ids, [B, length] int32, and how many ids there are."""
  rows = np.zeros((len(ids), length), np.int32)
  for row, own in zip(rows, ids, strict=True):
    row[: len(own)] = own
  return rows, np.array([*map(len, ids)], np.int32)


def batch(read: Sequence[Ids], write: Sequence[Ids], length: int, eos_id: int) -> Batch:
  """What `models.encoder_decoder.EncoderDecoder` reads of some pairs."""
  source, size = padded(read, length)
  end = np.array([eos_id], np.int32)
  tokens, count = padded([np.concatenate([end, ids]) for ids in write], length)
  targets, _ = padded([np.concatenate([ids, end]) for ids in write], length)
  weights = (np.arange(length) < count[:, None]).astype(np.float32)
  written = {"tokens": tokens, "targets": targets, "weights": weights}
  return {"read": source, "length": size} | written


def rounded(size: int, length: int) -> int:
  """A quarter, half, three quarters or all of `length`: what a row is padded to, so
  that few shapes are compiled."""
  quarter = -(-length // 4)
  return min(-(-size // quarter) * quarter, length)


class ByLength:
  """Pairs in epochs, those of a step of about one length; an `epochs.StepOrder`.

  An epoch has all pairs. Those of 16 steps stand in one order by length, so that the
  pairs of a batch are of about one length, and the batches in a random one. An item is
  a pair, and the length that all pairs of its step are padded to.
  """

  def __init__(
    self,
    sizes: Int[np.ndarray, " N"],
    length: int,
    batch_size: int,
    seed: int,
    process: tuple[int, int] = (0, 1),
  ):
    """Args:
    sizes: tokens of the longer side of each pair.
    length: T, tokens of a side at most.
    batch_size: pairs of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
    """
    self._sizes, self._length, self._seed = sizes, length, seed
    self._epochs = Epochs(len(sizes), batch_size * _TOGETHER, seed)
    index, count = process
    rows = index * batch_size // count, (index + 1) * batch_size // count
    self._rows = slice(*rows)
    self._sorted = functools.lru_cache(maxsize=2)(self._chunk)

  def __len__(self) -> int:
    return len(self._epochs)

  def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the rows, and their pairs with the length of the step, [b, 2]."""
    chunk, at = divmod(step, _TOGETHER)
    numbers, pairs = (side[at] for side in self._sorted(chunk))
    # one length for all processes
    length = rounded(int(self._sizes[pairs].max()), self._length)
    items = np.stack([pairs, np.full_like(pairs, length)], 1)
    return numbers[self._rows], items[self._rows]

  def _chunk(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers and pairs of 16 steps, [16, B]."""
    numbers, items = self._epochs[chunk]
    order = np.argsort(self._sizes[items], kind="stable").reshape(_TOGETHER, -1)
    order = np.random.default_rng([self._seed, 3, chunk]).permutation(order)
    return numbers[order], items[order]


def pair_rows(
  encoded: Encoded,
  tokenizer: Tokenizer,
  sizes: tuple[int, int],
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """Pairs of texts in epochs; see `ByLength`.

  Args:
    encoded: the pairs.
    tokenizer: of the pairs.
    sizes: T, and pairs of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
  """
  both = [*zip(*encoded[:2], strict=True)]
  lengths = np.array([max(len(a), len(b) + 1) for a, b in both])

  def collate(items, _):
    read, write = zip(*(both[i] for i, _ in items), strict=True)
    return batch(read, write, int(items[0, 1]), tokenizer.eos_id)

  content = (
    len(ids).to_bytes(4, "little") + ids.tobytes()
    for ids in (*encoded.read, *encoded.write)
  )
  return Rows(
    ByLength(lengths, *sizes, seed, process),
    collate,
    fingerprint(("jaxmem pairs 1", sizes, seed, tokenizer.fingerprint), content),
    tokenizer.fingerprint,
  )
