"""Contiguous lanes: row b of a batch continues where row b of the last one ended.

A memory that is carried from batch to batch needs that. An epoch is the documents in a
new order, end to end, cut into `batch_size` equal shares; lane b reads share b, one
segment a step. The batch of a step is a pure function of the step: no cursor has to be
saved, one integer resumes a run, at any number of processes.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64

from jaxmem.core.errors import DataError, raised_as
from jaxmem.core.extras import require
from jaxmem.core.ranges import Range, check_number
from jaxmem.data.mixture import Schedule, Stretch, shuffled
from jaxmem.data.rows import Batch, fingerprint
from jaxmem.data.stream import TokenStream

# Part of every fingerprint, in case the way from a step to its batch ever changes.
_FORMAT = "jaxmem lanes 1"


class Lanes:
  """The batch of every step, as a random-access source, which grain can read.

  `lanes[step]` is a dictionary for the rows of this process, b = batch_size /
  process_count of them, T = segment_length:

      tokens   int32   [b, T]
      targets  int32   [b, T]  the token after each
      reset    bool    [b, T]  True on the first token of a document, on every
                               document_length-th after it, and on the first token of a
                               lane's share: what came before is no context
      weights  float32 [b, T]  1; but 0 on the last token of a lane's share, as its
                               target is of another lane, and where the stream does not
                               count the target, or a target only begins a document
      rows     int64   [b]     step * batch_size + lane, lane counted over all processes

  The ids in `rows` of an epoch are a range without gaps or repeats, so the data log of
  a run shows that every segment was read once. An epoch reads the first `batch_size *
  steps_per_epoch * segment_length` tokens of its order once; fewer tokens than a batch
  are left out at its end, other ones in each epoch. TaskConfig is thread-safe.

  An epoch of a mixture is as many steps, but a stretch of a token stream without end
  (see `jaxmem.data.mixture`): nothing is left out, the next epoch continues where it
  ended, and each component has epochs of its own.

  Attributes:
    steps_per_epoch: steps until the documents are put in a new order.
    fingerprint: SHA-256 over all that decides which tokens a step reads: stream, batch
      size, segment length, seed and document length, but not the processes. A step
      that was saved under another fingerprint means other tokens.
  """

  def __init__(
    self,
    stream: TokenStream,
    batch_size: int,
    segment_length: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    document_length: int = 0,
  ):
    """Checks the sizes; reads nothing yet.

    Args:
      stream: the tokens and where documents start.
      batch_size: rows of a batch over all processes.
      segment_length: tokens of a row.
      seed: >= 0, decides the order of documents in every epoch.
      process_index: which part of the rows to read.
      process_count: parts; the rows are shared out contiguously and evenly.
      document_length: tokens after which a document is cut by a reset, always at the
        same positions; 0 cuts none.

    Raises:
      DataError: if a number is out of range, or the stream too short for one batch.
    """
    self.stream = stream
    self.batch_size = batch_size
    self.segment_length = segment_length
    self.seed = seed
    self.process_index = process_index
    self.process_count = process_count
    self.document_length = document_length
    self._check()
    self.steps_per_epoch = len(stream.tokens) // (batch_size * segment_length)
    self._schedule = Schedule(stream.starts, stream.shares, seed)
    # Two epochs are kept: threads that read ahead stand on both sides of a border.
    self._order = functools.lru_cache(maxsize=2)(self._make_order)

  def __len__(self) -> int:
    # More steps than any run takes; of a mixture as far as its due dates are exact.
    tokens = self.batch_size * self.segment_length
    return min(2**40, 2**52 // tokens) if self.stream.shares else 2**40

  def __repr__(self) -> str:
    return (
      f"Lanes(batch_size={self.batch_size}, segment_length={self.segment_length}, "
      f"seed={self.seed}, process={self.process_index}/{self.process_count})"
    )

  def __getitem__(self, step: int) -> Batch:
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} is outside 0 .. {len(self) - 1}")
    epoch, epoch_step = divmod(int(step), self.steps_per_epoch)
    lanes = self._lanes()  # [b]
    share = self.steps_per_epoch * self.segment_length
    begin = lanes * share + epoch_step * self.segment_length  # [b]
    tokens, first, counted = self._read(epoch, begin)  # [b, T + 1] each

    reset = first[:, :-1]  # [b, T]
    weights = counted[:, 1:].astype(np.float32)  # [b, T]: of the targets
    if epoch_step == 0:
      reset[:, 0] = True
    if epoch_step == self.steps_per_epoch - 1:
      weights[:, -1] = 0
    return {
      "tokens": tokens[:, :-1],
      "targets": tokens[:, 1:],
      "reset": reset,
      "weights": weights,
      "rows": int(step) * self.batch_size + lanes,
    }

  @property
  def fingerprint(self) -> str:
    """SHA-256 over all that decides which tokens a step reads."""
    sizes = (self.batch_size, self.segment_length, self.seed)
    if self.document_length:  # the fingerprint of an older run has no such number
      sizes += (self.document_length,)
    parts = (_FORMAT, self.stream.fingerprint, *sizes)
    return fingerprint(parts)

  @property
  def tokenizer(self) -> str:
    """Fingerprint of the stream's tokenizer."""
    return self.stream.tokenizer

  @property
  def longest_document(self) -> int:
    """The most tokens without a reset between them, the EOS token included."""
    longest = int(np.diff(self.stream.starts).max())
    return min(longest, self.document_length or longest)

  def _lanes(self) -> Int64[np.ndarray, " b"]:
    """Returns the lanes of this process, counted over all processes."""
    rows = self.batch_size // self.process_count
    return np.arange(rows, dtype=np.int64) + self.process_index * rows

  def _read(
    self, epoch: int, begin: Int64[np.ndarray, " b"]
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads T + 1 tokens of the epoch from each `begin`.

    Returns:
      The tokens, which of them open a document, and which count; each [b, T + 1].
    """
    order = self._order(epoch)
    positions = begin[:, None] + np.arange(self.segment_length + 1)  # [b, T + 1]
    # After the last lane there may be no token; the target there has weight 0.
    positions = np.minimum(positions, order.end - 1)
    index = np.searchsorted(order.begins, positions, side="right") - 1  # in the order
    offset = positions - order.begins[index]  # in the document
    at = self.stream.starts[order.documents[index]] + offset  # in the stream
    tokens, counted = self.stream.tokens[at], self.stream.counted
    counts = np.ones(at.shape, bool) if counted is None else counted[at]
    if not self.stream.predicts_first:
      counts = counts & (offset > 0)
    if self.document_length:
      offset = offset % self.document_length
    return tokens.astype(np.int32), offset == 0, counts

  def _make_order(self, epoch: int) -> Stretch:
    """Returns the documents of an epoch in its order."""
    if self.stream.shares:
      length = self.steps_per_epoch * self.batch_size * self.segment_length
      return self._schedule.stretch(epoch * length, length + 1)
    documents = shuffled(self.stream.num_documents, self.seed, epoch)
    lengths = np.diff(self.stream.starts)[documents]
    return Stretch(documents, np.cumsum(lengths) - lengths, len(self.stream.tokens))

  def _check(self) -> None:
    limits = {
      "batch_size": Range(at_least=1),
      "segment_length": Range(at_least=1),
      "process_count": Range(at_least=1),
      "document_length": Range(at_least=0),
      "seed": Range(at_least=0, at_most=2**32 - 1),
      "process_index": Range(at_least=0, below="process_count"),
    }
    with raised_as(DataError):
      for name, range_ in limits.items():
        check_number(getattr(self, name), name, range_.of(self))
    if self.batch_size % self.process_count:
      raise DataError(
        f"batch_size {self.batch_size} cannot be shared evenly by {self.process_count} "
        f"processes: make it a multiple of {self.process_count}"
      )
    needed = self.batch_size * (self.segment_length + 1)
    if len(self.stream.tokens) < needed:
      raise DataError(
        f"the stream has {len(self.stream.tokens)} tokens, but batch_size "
        f"{self.batch_size} x (segment_length {self.segment_length} + 1) needs "
        f"{needed}: lower batch_size or segment_length, or give more text"
      )


class Batches(Iterator):
  """The batches of consecutive steps, read ahead by threads; also a context manager."""

  def __init__(self, iterator: Any):
    self._iterator = iterator

  def __next__(self) -> Batch:
    return next(self._iterator)

  @property
  def step(self) -> int:
    """The step of the next batch: the one integer that a run saves and resumes from."""
    return self._iterator.get_state()["next_index"]

  def close(self) -> None:
    """Ends the reading threads and drops what they had read ahead."""
    self._iterator.close()

  def __enter__(self) -> "Batches":
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()


def batches(
  source: Any, start_step: int = 0, num_threads: int = 2, prefetch: int = 8
) -> Batches:
  """Iterates over the batches of a source from a step, through grain.

  Args:
    source: `Lanes`, or any source that has a length and a batch for every step.
    start_step: the first step to read, as saved from `Batches.step`.
    num_threads: threads that read ahead; 0 reads in the caller's thread.
    prefetch: the most batches to read ahead.

  Returns:
    An endless iterator; close it, or use it in a `with` statement.

  Raises:
    DataError: if `start_step` is out of range or grain is not installed.
  """
  with raised_as(DataError):
    steps = Range(at_least=0, at_most=len(source) - 1)
    check_number(start_step, "start_step", steps)
  require("grain")
  import grain

  options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
  iterator = iter(grain.MapDataset.source(source).to_iter_dataset(options))
  iterator.set_state({"next_index": start_step})
  return Batches(iterator)
