"""Bits per byte of text of any length, with the memory carried, or emptied at times.

The one scorer of text: held-out scores while a run trains, its report, `jaxmem eval
--split` and `jaxmem eval --text` are calls of `TextScorer`, so that the same documents
in the same number of lanes give the same number, to the bit.

- *carried*: memory continues through the whole document;
- *reset*: memory is emptied at every segment;
- *re-read*: memory is emptied, the segment before is read but not scored, and then the
  segment is scored.

The difference of carried and re-read is what memory beyond one segment is worth: both
have read the text just before a token, only one has read the text further back. All
ways read the same tokens in the same calls, with different resets, so that a token's
cost in one is paired with its cost in the others. *Re-read* takes two readings, one
emptied at every even segment and one at every odd one; a segment is scored by the one
that was emptied at the segment before.

Files are read in pieces, and neither the memory of the model nor that of the process
grows with them. One document of 10,000,000 bytes (the standard library end to end) was
read by the model of the config `quickstart` after 20 steps, one row of 4096 tokens a
call: the peak memory of the process was 681 MiB; it read 51,000 bytes a CPU-second, and
29,300 bytes/s by the clock on two x86 cores that had other work.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.core.errors import RunError
from jaxmem.core.progress import DELAY, Progress
from jaxmem.tasks.language_modeling.paired import Buckets, PairedSums
from jaxmem.tasks.language_modeling.reader import Document, Reader
from jaxmem.tokenizers import Tokenizer

WAYS = ("carried", "reset", "re-read")
# Held-out scores read so many lanes, and so many tokens of each in a call.
ROWS, LENGTH = 16, 512
# The first bucket of positions ends here, and each of the others is as long as all
# before it: together they hold 2^40 tokens.
FIRST_BUCKET = 128
NUM_BUCKETS = 34
# Buckets of positions within a segment, at most.
SEGMENT_BUCKETS = 16

# Way of reading -> the (period, phase), in segments, at which it empties the memory; a
# way of two readings takes each segment from the one that has read the segment before.
_EMPTIED = {"carried": [None], "reset": [(1, 0)], "re-read": [(2, 0), (2, 1)]}


class Result(NamedTuple):
  """The cost of the text that has been read.

  Attributes:
    sums: bits by position in the document; a document's tokens are its own and, if it
      is whole, the EOS token after it.
    within: bits by position within the segment, first segments left out; None unless
      the scorer sums them.
    segment: tokens after which the ways that forget empty the memory.
    num_bytes: bytes of the text of these tokens.
    num_words: words of the text of these tokens.
    num_documents: documents of which at least a part was read.
  """

  sums: PairedSums
  within: PairedSums | None
  segment: int
  num_bytes: int
  num_words: int
  num_documents: int

  @property
  def num_tokens(self) -> int:
    """The number of tokens that have been scored."""
    return int(self.sums.tokens.sum())

  def bits_per_byte(self) -> dict[str, float]:
    """Returns way -> all bits, the EOS tokens' too, over the number of bytes."""
    return self._per(self.num_bytes)

  def bits_per_word(self) -> dict[str, float]:
    """Returns way -> all bits over the number of words; 2 to that is perplexity."""
    return self._per(max(self.num_words, 1))

  def _per(self, count: int) -> dict[str, float]:
    return {way: float(bits.sum()) / count for way, bits in self.sums.bits.items()}

  def gain(self, inside: Any = slice(None)) -> dict[str, dict[str, float]]:
    """Returns way -> bits per byte that the first way saves over it, and the error.

    Args:
      inside: an index or a slice of the buckets of positions; all by default.
    """
    ratio = self.num_tokens / self.num_bytes
    gains = {}
    for way in list(self.sums.bits)[1:]:
      mean, error = self.sums.gain(way, inside)
      gains[way] = {"bits_per_byte": mean * ratio, "error": error * ratio}
    return gains

  def by_position(self) -> list[dict[str, Any]]:
    """Returns the buckets of positions in the document that hold tokens.

    Bits per token become bits per byte, and per word, by the ratio of all tokens to all
    bytes or words, so that the mean over all tokens is `bits_per_byte`.
    """
    per_byte = self.num_tokens / self.num_bytes
    per_word = self.num_tokens / max(self.num_words, 1)
    edges, bits = document_edges(NUM_BUCKETS), self.sums.bits
    return [
      {
        "from": int(edges[i]),
        "to": int(edges[i + 1]),
        "tokens": int(count),
        "bits_per_byte": {w: float(b[i] / count) * per_byte for w, b in bits.items()},
        "bits_per_word": {w: float(b[i] / count) * per_word for w, b in bits.items()},
        "gain": self.gain(slice(i, i + 1)),
      }
      for i, count in enumerate(self.sums.tokens)
      if count
    ]

  def gain_by_document_position(self, way: str) -> Buckets:
    """Returns the bits a token that the first way saves, in doubling buckets."""
    used = np.flatnonzero(self.sums.tokens)
    return self.sums.gains(way, document_edges(max(int(used.max()) + 1, 2)))

  def gain_by_segment_position(self, way: str) -> Buckets:
    """Returns these bits by position within the segment, first segments left out."""
    return self.within.gains(way, segment_edges(self.segment))


class TextScorer:
  """Scores documents; each iteration is one call of the model, and yields the result.

  One row reads a document from its beginning to its end, after the EOS token and
  from an empty memory. More rows use the device better.
  """

  def __init__(
    self,
    losses: Callable,
    init_state: Callable[[int], Any],
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    *,
    rows: int = ROWS,
    length: int = LENGTH,
    document_length: int = 0,
    ways: Sequence[str] = ("carried",),
    segment: int = 0,
    by_segment: bool = False,
  ):
    """Prepares a reading of the documents; no text is read yet.

    Args:
      losses: `(tokens, targets, state, reset) -> (nats [B, T], state)`, jitted.
      init_state: `batch_size -> state`.
      documents: see `reader.Document`.
      tokenizer: text to ids.
      rows: B, documents that are read at once.
      length: T, tokens of a call; it affects the speed, and numbers only by rounding.
      document_length: the most tokens between two resets of a document; 0 resets only
        at its beginning.
      ways: names of `WAYS`; differences are to the first.
      segment: tokens after which the ways that forget empty the memory, >= 1 if there
        are any.
      by_segment: whether to sum by position within the segment, too.
    """
    self._losses, self._length, self._segment = losses, length, segment
    self._size = sum(document.size for document in documents)
    self._reader = Reader(documents, tokenizer, rows, document_length)
    self._states = {way: [init_state(rows) for _ in _EMPTIED[way]] for way in ways}
    self._sums = PairedSums.zeros(ways, NUM_BUCKETS)
    self._edges, self._within = segment_edges(segment), None
    if by_segment:
      self._within = PairedSums.zeros(ways, len(self._edges) - 1)

  def __iter__(self) -> Iterator[Result]:
    """Reads to the end; the last result is that of all documents.

    Raises:
      DataError: if a file cannot be read.
      RunError: if a token's cost is not finite.
    """
    while self._advance():
      result = self.result()
      if not all(np.isfinite(bits).all() for bits in self._sums.bits.values()):
        raise RunError(
          f"the cost of a token is not finite after {result.num_bytes:,} bytes: the "
          "weights are damaged, or the text is longer than a memory holds"
        )
      yield result

  def read(self) -> Result:
    """Reads to the end, and returns the cost of all documents, which may be NaN.

    Raises:
      DataError: if a file cannot be read.
    """
    with Progress(self._size, "bytes", delay=DELAY) as progress:
      while self._advance():
        progress.update(self.result().num_bytes)
    return self.result()

  def result(self) -> Result:
    """Returns the cost of the text that has been read so far."""
    read, count = self._reader.counts, int(self._sums.tokens.sum())

    def scored_share(key: str) -> int:
      # text that is read but not scored yet is left out in proportion; at the end all
      # text is scored
      return -(-read[key] * count // max(read["tokens"], 1))

    return Result(
      self._sums.copy(),
      None if self._within is None else self._within.copy(),
      self._segment,
      scored_share("bytes"),
      scored_share("words"),
      read["documents"],
    )

  def state(self) -> tuple[dict[str, Any], Any]:
    """Returns the state that a scorer of the same text continues from: JSON, arrays."""
    numbers, lines = self._reader.state()
    return numbers, (list(self._states.values()), self._sums.arrays(), lines)

  def restore(self, numbers: dict[str, Any], arrays: Any) -> None:
    """Continues from what `state` returned."""
    states, sums, lines = arrays
    self._reader.restore(numbers, lines)
    self._states = dict(zip(self._states, states, strict=True))
    self._sums = self._sums.restored(sums)

  def _advance(self) -> bool:
    """Reads the next tokens of every row; returns False if there are none."""
    tokens, targets, reset, position = self._reader.fill(self._length)
    scored = position >= 0
    if not scored.any():
      return False
    costs = {  # way -> [scored tokens]
      way: self._cost(way, tokens, targets, reset, position)[scored]
      for way in self._states
    }
    position = position[scored]
    self._sums.add(document_bucket(position), costs)
    if self._within is not None:
      has_previous = position >= self._segment
      within = position[has_previous] % self._segment
      bucket = np.searchsorted(self._edges, within, side="right") - 1
      self._within.add(bucket, {way: cost[has_previous] for way, cost in costs.items()})
    return True

  def _cost(self, way, tokens, targets, reset, position) -> np.ndarray:
    """Returns the bits [B, T] of the tokens in one way, and carries its memory on."""
    costs, states = [], self._states[way]
    for i, emptied in enumerate(_EMPTIED[way]):
      forget = False
      if emptied:
        period, phase = (n * self._segment for n in emptied)
        forget = (position >= 0) & (position % period == phase)
      nats, states[i] = self._losses(tokens, targets, states[i], reset | forget)
      costs.append(np.asarray(jax.device_get(nats), np.float64) / math.log(2))
    if len(costs) == 1:
      return costs[0]
    emptied_at_even, emptied_at_odd = costs
    # an odd segment follows an even one, at which the first reading was emptied
    is_odd = position // self._segment % 2  # [B, T]
    return np.where(is_odd, emptied_at_even, emptied_at_odd)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="state")
def losses(model: Any, params: Any, tokens, targets, state, reset) -> tuple[Any, Any]:
  """Returns nats [B, T] and the next state; compiled once for each model and shape.

  The state is donated: its buffers become those of the next.
  """
  return model.apply({"params": params}, tokens, targets, state, reset, method="losses")


def document_edges(count: int) -> np.ndarray:
  """Returns the edges of the first `count` buckets of positions: 0, 128, 256, 512."""
  return np.array([0, *(FIRST_BUCKET << i for i in range(count))])


def segment_edges(segment: int) -> np.ndarray:
  """Returns the edges of even buckets of positions within a segment."""
  return np.linspace(0, segment, min(segment, SEGMENT_BUCKETS) + 1).astype(int)


def document_bucket(position: np.ndarray) -> np.ndarray:
  """Returns the bucket of each position: 0 to 127, 128 to 255, 256 to 511, ..."""
  # frexp is exact where a logarithm rounds: x = m 2^e with 1/2 <= m < 1
  exponent = np.frexp(position // FIRST_BUCKET)[1]
  return np.minimum(exponent, NUM_BUCKETS - 1)
