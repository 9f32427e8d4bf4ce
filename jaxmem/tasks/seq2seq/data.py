"""Pairs of texts, one to read and one to write, and their batches."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError
from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tasks.seq2seq.pairs import Pair, read, references, text
from jaxmem.tokenizers import Ids, Tokenizer

__all__ = [
  "ByLength",
  "Encoded",
  "Pair",
  "batch",
  "encode",
  "padded",
  "pair_rows",
  "read",
  "references",
  "rounded",
  "text",
]

# The pairs of so many steps are sorted by length together, so that a batch pads little.
_TOGETHER = 16


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
