"""Pairs of texts, one to read and one to write, and their batches."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError
from jaxmem.data import opened, records, texts
from jaxmem.data.bad_records import Tally
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tokenizers import Ids, Tokenizer

# The pairs of so many steps are sorted by length together, so that a batch pads little.
_TOGETHER = 16


class Pair(NamedTuple):
  """A source text and its targets.

  Attributes:
    source: the text to read.
    targets: the texts to write: the first one is learned, all are references.
    where: the file and line, for messages.
  """

  source: str
  targets: tuple[str, ...]
  where: str


def read(
  source: str, fields: tuple[str, str], hint: str, encoding: str = "utf-8"
) -> list[Pair]:
  """Returns the pairs of a source, in order.

  A list of texts to read is joined by spaces; a list of targets has several references;
  blank texts of a list are left out.

  Args:
    source: two files of as many lines, A,B (either may be gzipped), or one file with
      the fields below, see `data.records`.
    fields: names of the field to read and of the field to write.
    hint: where such data can be found, for messages.
    encoding: encoding of the files.

  Raises:
    DataError: if a file is missing or a record is bad; names file, line and fault.
  """
  files = source.split(",")
  if len(files) == 2:
    pairs = _parallel(files[0], files[1], hint, encoding)
  elif len(files) == 1:
    make = functools.partial(_pair, source=fields[0], target=fields[1])
    pairs = records.collect(source, make, hint, encoding)
  else:
    raise DataError(f"{source!r}: one file, or two separated by a comma")
  if not pairs:
    raise DataError(f"{source} has no pair of texts")
  return pairs


def _parallel(first: str, second: str, hint: str, encoding: str) -> list[Pair]:
  """Returns the pairs of two files, line by line."""
  names, sides = (first, second), []
  for name in names:
    lines = records.lines(opened.Member(records.located(name, hint)), encoding)
    sides.append([(text.strip(), fault) for _, text, fault in lines])
  if len(sides[0]) != len(sides[1]):
    raise DataError(
      f"{first} has {len(sides[0]):,} lines and {second} {len(sides[1]):,}: line n of "
      "one must be that of the other"
    )
  pairs, tally = [], Tally(f"{first},{second}")
  for n, lines in enumerate(zip(sides[0], sides[1], strict=True), start=1):
    where = f"{first} line {n}"
    try:
      for name, (text, fault) in zip(names, lines, strict=True):
        if fault:
          raise DataError(fault)
        if not text:
          raise DataError(f"{name} line {n} is empty: leave it out of both files")
    except DataError as error:
      # a bad line is left out of both files, so that the others stay paired
      tally.bad(where, error)
      continue
    tally.good()
    pairs.append(Pair(lines[0][0], (lines[1][0],), where))
  tally.close()
  return pairs


def text(record: records.Record, name: str) -> str:
  """Returns the text of a field; a list of texts is joined by spaces.

  Args:
    record: the record.
    name: name of the field.

  Raises:
    DataError: if the field has no text.
  """
  return " ".join(_texts(record, name))


def _pair(record: records.Record, source: str, target: str) -> Pair:
  return Pair(text(record, source), tuple(_texts(record, target)), record.where)


def _texts(record: records.Record, name: str) -> list[str]:
  """Returns the text of a field, or the texts of its list that are not blank."""
  value = record.fields.get(name)
  if not isinstance(value, list):
    return [record.text(name).strip()]
  where = f"{record.where}: field {name!r}"
  texts = [records.checked(v, f"{where}: a text of the list").strip() for v in value]
  if not any(texts):
    raise DataError(f"{where} is {value!r}: texts expected")
  return [text for text in texts if text]


class Encoded(NamedTuple):
  """The ids of the pairs that fit in a row.

  Attributes:
    read: ids of each source.
    write: ids of each first target.
    left_out: number of pairs that are longer than a row.
  """

  read: list[Ids]
  write: list[Ids]
  left_out: int


def encode(pairs: list[Pair], tokenizer: Tokenizer, length: int) -> Encoded:
  """Returns the ids of the pairs that fit in a row.

  Args:
    pairs: the pairs.
    tokenizer: the tokenizer of both sides.
    length: most tokens of a side, the EOS token included.

  Raises:
    DataError: if no pair fits, or the tokenizer cannot read a text.
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
  """Returns ids padded with zeros, [B, length] int32, and their lengths, [B].

  Args:
    ids: ids of each row.
    length: tokens of a padded row.
  """
  rows = np.zeros((len(ids), length), np.int32)
  for row, row_ids in zip(rows, ids, strict=True):
    row[: len(row_ids)] = row_ids
  return rows, np.array([*map(len, ids)], np.int32)


def batch(read: Sequence[Ids], write: Sequence[Ids], length: int, eos_id: int) -> Batch:
  """Returns a batch of `models.encoder_decoder.EncoderDecoder`.

  Args:
    read: ids of the sources.
    write: ids of the targets.
    length: T, tokens of a padded row.
    eos_id: the id that begins and ends a target.
  """
  source, size = padded(read, length)  # [B, T], [B]
  end = np.array([eos_id], np.int32)
  # teacher forcing: the target of a position is the token of the next one
  tokens, count = padded([np.concatenate([end, ids]) for ids in write], length)
  targets, _ = padded([np.concatenate([ids, end]) for ids in write], length)
  weights = (np.arange(length) < count[:, None]).astype(np.float32)
  written = {"tokens": tokens, "targets": targets, "weights": weights}
  return {"read": source, "length": size} | written


def rounded(size: int, length: int) -> int:
  """Rounds a size up to quarters of a length, so that few shapes are compiled.

  Args:
    size: tokens of the longest row.
    length: most tokens of a row.
  """
  quarter = -(-length // 4)
  return min(-(-size // quarter) * quarter, length)


class ByLength:
  """Pairs in epochs, with steps of about one length; an `epochs.StepOrder`.

  An epoch has all pairs. The pairs of 16 steps are sorted by length, so that the pairs
  of a batch have about one length; then the batches are put in random order. An item is
  a pair and the length that all pairs of its step are padded to.
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
    length: T, most tokens of a side.
    batch_size: pairs of a step over all processes.
    seed: decides the order.
    process: index and count of the processes that share the rows.
    """
    self._sizes, self._length, self._seed = sizes, length, seed
    self._epochs = Epochs(len(sizes), batch_size * _TOGETHER, seed)
    index, count = process
    begin, end = index * batch_size // count, (index + 1) * batch_size // count
    self._rows = slice(begin, end)
    # two chunks, so that reading around a border sorts neither again
    self._sorted = functools.lru_cache(maxsize=2)(self._chunk)

  def __len__(self) -> int:
    return len(self._epochs)

  def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the rows [b], and their pairs and lengths [b, 2]."""
    chunk, row = divmod(step, _TOGETHER)
    numbers, pairs = (array[row] for array in self._sorted(chunk))
    # the longest pair of all processes: their arrays must have one shape
    length = rounded(int(self._sizes[pairs].max()), self._length)
    items = np.stack([pairs, np.full_like(pairs, length)], 1)
    return numbers[self._rows], items[self._rows]

  def _chunk(self, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers and pairs of 16 steps, [16, B]."""
    numbers, items = self._epochs[chunk]  # [16 B]
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
  """Returns pairs of texts in epochs; see `ByLength`.

  Args:
    encoded: the pairs.
    tokenizer: the tokenizer of the pairs.
    sizes: T, and pairs of a step over all processes.
    seed: decides the order.
    process: index and count of the processes that share the rows.
  """
  length, batch_size = sizes
  lengths = np.array(
    [
      max(len(read), len(write) + 1)  # a target has an EOS token, too
      for read, write in zip(encoded.read, encoded.write, strict=True)
    ]
  )

  def collate(items, _):
    read = [encoded.read[i] for i, _ in items]
    write = [encoded.write[i] for i, _ in items]
    return batch(read, write, int(items[0, 1]), tokenizer.eos_id)

  # with lengths, because the same ids could be cut into other texts
  content = (
    len(ids).to_bytes(4, "little") + ids.tobytes()
    for ids in (*encoded.read, *encoded.write)
  )
  return Rows(
    ByLength(lengths, length, batch_size, seed, process),
    collate,
    fingerprint(("jaxmem pairs 1", sizes, seed, tokenizer.fingerprint), content),
    tokenizer.fingerprint,
  )
