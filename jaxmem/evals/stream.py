"""Bits per byte of text of any length, read through the carried memory.

Files are read in pieces and nothing grows with them: neither the memory of the model,
which is what it is for, nor that of the process.

    jaxmem eval --workdir runs/quickstart --text ten_megabytes.txt

One document of 10,000,000 bytes (the standard library end to end), the default model
(d_model 128, rglru,gated_delta,window, float32) of `configs/quickstart.py` after 20
steps, one row of 4096 tokens a call: peak memory of the process 681 MiB; 51,000 bytes a
CPU-second, and 29,300 bytes/s by the clock on two x86 cores that had other work.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.data.errors import DataError
from jaxmem.data.sources import Piece
from jaxmem.data.tokenizers import Tokenizer
from jaxmem.errors import RunError

# Bytes of a file that are in memory at once, a row.
READ_BYTES = 1 << 16
# The first bucket of positions ends here, and each of the others is as long as all
# before it: 2^40 tokens.
FIRST_BUCKET = 128
NUM_BUCKETS = 34


class Result(NamedTuple):
  """What has been read, and what it cost.

  Attributes:
    bits: of the tokens of each bucket of positions; a document's tokens are its own and
      the boundary after it.
    tokens: how many those are.
    num_bytes: of the text that those are.
    num_documents: that have been begun.
  """

  bits: np.ndarray
  tokens: np.ndarray
  num_bytes: int
  num_documents: int

  def bits_per_byte(self) -> float:
    """All bits, the boundaries' too, over the number of bytes."""
    return float(self.bits.sum()) / self.num_bytes

  def by_position(self) -> list[dict[str, int | float]]:
    """Buckets of positions in the document, of those that hold any.

    Bits per token become bits per byte by the ratio of all tokens to all bytes, so that
    the mean over all tokens is `bits_per_byte`.
    """
    ratio = int(self.tokens.sum()) / self.num_bytes
    edges = [0, *(FIRST_BUCKET << i for i in range(NUM_BUCKETS))]
    return [
      {
        "from": edges[i],
        "to": edges[i + 1],
        "tokens": int(count),
        "bits_per_byte": float(bits / count) * ratio,
      }
      for i, (bits, count) in enumerate(zip(self.bits, self.tokens, strict=True))
      if count
    ]


class _Reader:
  """Documents one after the other, for whichever row asks next."""

  def __init__(self, documents: Sequence[Piece], tokenizer: Tokenizer):
    self.num_bytes = self.num_tokens = self.num_documents = 0
    self._documents, self._tokenizer = iter(documents), tokenizer

  def row(self) -> Iterator[np.ndarray]:
    """The tokens of a row: documents, a boundary before each and one at the end."""
    boundary = np.array([self._tokenizer.boundary], np.int32)
    for document in self._documents:
      self.num_documents += 1
      self.num_tokens += 1
      yield boundary
      for text in _pieces(document):
        ids = np.asarray(self._tokenizer.encode(text), np.int32)
        self.num_bytes += len(text)
        self.num_tokens += len(ids)
        yield ids
    yield boundary


def _pieces(document: Piece) -> Iterator[bytes]:
  """A document's bytes, cut after ends of lines where there are any.

  Tokens of more than a byte rarely reach over the end of a line, so few differ from
  those of the whole document; single bytes never do.
  """
  held = b""
  try:
    with open(document.path, "rb") as file:
      file.seek(document.start)
      left = document.size
      while left and (text := file.read(min(READ_BYTES, left))):
        left -= len(text)
        cut = text.rfind(b"\n") + 1 or len(text)
        yield held + text[:cut]
        held = text[cut:]
  except OSError as error:
    raise DataError(
      f"cannot read {document.path}: {error.strerror}; mend the file or leave it out"
    ) from error
  if left:
    raise DataError(f"{document.path} shrank while it was being read: run again")
  if held:
    yield held


class _Row:
  """A lane: `fill` takes its next tokens, and goes on where it was."""

  def __init__(self, source: Iterator[np.ndarray], boundary: int, cut: int):
    self._source, self._boundary, self._cut = source, boundary, cut
    self._tokens = np.zeros(0, np.int32)
    self._position = 0

  def fill(self, length: int) -> tuple[np.ndarray, ...]:
    """tokens, targets, reset, position, each [length]; position -1 is not scored."""
    parts, have = [self._tokens], len(self._tokens)
    while have <= length and (part := next(self._source, None)) is not None:
      parts.append(part)
      have += len(part)
    line = np.concatenate(parts)
    count = max(min(len(line) - 1, length), 0)
    self._tokens = line[count:]
    padded = np.full(length + 1, self._boundary, np.int32)
    padded[: count + 1] = line[: count + 1]
    tokens, targets = padded[:-1], padded[1:]
    reset = tokens == self._boundary
    at = np.arange(length)
    begun = np.maximum.accumulate(np.where(reset, at, -1))
    position = np.where(begun >= 0, at - begun, self._position + at)
    if self._cut:
      position %= self._cut
      reset |= position == 0
    if count:
      self._position = int(position[count - 1]) + 1
    return tokens, targets, reset, np.where(at < count, position, -1)


def read(
  losses: Callable,
  init_state: Callable[[int], Any],
  documents: Sequence[Piece],
  tokenizer: Tokenizer,
  rows: int = 1,
  length: int = 4096,
  document_length: int = 0,
) -> Iterator[Result]:
  """Reads documents to their end; the memory goes on from call to call.

  A document is read by one row from its beginning to its end, and begins with the
  boundary token and an empty memory. More rows use the device better, and give the same
  numbers.

  Args:
    losses: `(tokens, targets, state, reset) -> (nats [B, T], state)`, jitted.
    init_state: `batch_size -> state`.
    documents: from `jaxmem.data.sources.find`.
    tokenizer: text to ids.
    rows: B, documents that are read at once.
    length: T, tokens of a call; the carried memory makes it free to choose.
    document_length: a document is cut, by resets, into documents of at most so many
      tokens; 0 cuts none.

  Yields:
    All that has been read so far, after every call; the last is the whole.

  Raises:
    DataError: if a file cannot be read.
    RunError: if a token's cost is not finite.
  """
  reader = _Reader(documents, tokenizer)
  row = lambda: _Row(reader.row(), tokenizer.boundary, document_length)
  lanes = [row() for _ in range(rows)]
  state = init_state(rows)
  bits, count = np.zeros(NUM_BUCKETS), np.zeros(NUM_BUCKETS, np.int64)
  while True:
    filled = [lane.fill(length) for lane in lanes]
    tokens, targets, reset, position = map(np.stack, zip(*filled, strict=True))
    scored = position >= 0
    if not scored.any():
      return
    nats, state = losses(tokens, targets, state, reset)
    cost = np.asarray(jax.device_get(nats), np.float64)[scored] / math.log(2)
    if not np.isfinite(cost).all():
      raise RunError(
        f"the cost of a token is not finite after {reader.num_bytes:,} bytes: the "
        "weights are damaged, or the text is longer than a memory holds"
      )
    bucket = _bucket(position[scored])
    bits += np.bincount(bucket, weights=cost, minlength=NUM_BUCKETS)
    count += np.bincount(bucket, minlength=NUM_BUCKETS)
    # what lies read but not scored is left out in proportion: nothing, at the end
    num_bytes = -(-reader.num_bytes * int(count.sum()) // reader.num_tokens)
    yield Result(bits.copy(), count.copy(), num_bytes, reader.num_documents)


def _bucket(position: np.ndarray) -> np.ndarray:
  """Which bucket each position is in: 0 to 127, 128 to 255, 256 to 511, ..."""
  # frexp is exact where a logarithm rounds: x = m 2^e with 1/2 <= m < 1
  exponent = np.frexp(position // FIRST_BUCKET)[1]
  return np.minimum(exponent, NUM_BUCKETS - 1)
