"""Bits per byte of text of any length, read with the memory carried, or forgetting.

Files are read in pieces and nothing grows with them: neither the memory of the model,
which is what it is for, nor that of the process.

    jaxmem eval --workdir runs/quickstart --text ten_megabytes.txt

Ways of reading are those of `bits_per_byte`, and here too a token's cost in one
is paired with its cost in the others: all read the same tokens in the same calls, with
other resets. *Re-read* takes two readings, one emptied at every even segment and one at
every odd one; a segment is scored by the one that was emptied at the segment before.

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

from jaxmem.core.errors import RunError
from jaxmem.data.file_slice import FileSlice
from jaxmem.tasks.language_modeling import reader
from jaxmem.tokenizers import Tokenizer

# The first bucket of positions ends here, and each of the others is as long as all
# before it: 2^40 tokens.
FIRST_BUCKET = 128
NUM_BUCKETS = 34

# Way of reading -> how often it empties the memory, in segments, and from which on; a
# way of two readings takes each segment from the one that has read the segment before.
_EMPTIED = {"carried": [None], "reset": [(1, 0)], "re-read": [(2, 0), (2, 1)]}


class Result(NamedTuple):
  """What has been read, and what it cost.

  Attributes:
    bits: way -> of the tokens of each bucket of positions; a document's tokens are its
      own and the EOS token after it.
    squares: way -> sums of squares of what each token costs more than in the first way.
    tokens: of each bucket.
    num_bytes: of the text that those are.
    num_words: of the text that those are.
    num_documents: that have been begun.
  """

  bits: dict[str, np.ndarray]
  squares: dict[str, np.ndarray]
  tokens: np.ndarray
  num_bytes: int
  num_words: int
  num_documents: int

  def bits_per_byte(self) -> dict[str, float]:
    """Way -> all bits, the EOS tokens' too, over the number of bytes."""
    return {way: float(b.sum()) / self.num_bytes for way, b in self.bits.items()}

  def bits_per_word(self) -> dict[str, float]:
    """Way -> all bits over the number of words; 2 to that is perplexity per word."""
    words = max(self.num_words, 1)
    return {way: float(b.sum()) / words for way, b in self.bits.items()}

  def gain(self) -> dict[str, dict[str, float]]:
    """Way -> bits per byte that the first way saves over it, and the standard error."""
    return self._gain(slice(None))

  def _gain(self, inside: Any) -> dict[str, dict[str, float]]:
    """The mean of paired differences in a bucket, or all; errors as of independent
    tokens, which neighbours are not quite."""
    first, *others = self.bits
    count = int(self.tokens[inside].sum())
    ratio = int(self.tokens.sum()) / self.num_bytes
    gains = {}
    for way in others:
      mean = float((self.bits[way] - self.bits[first])[inside].sum()) / count
      square = float(self.squares[way][inside].sum()) / count
      error = math.sqrt(max(square - mean**2, 0) / count)
      gains[way] = {"bits_per_byte": mean * ratio, "error": error * ratio}
    return gains

  def by_position(self) -> list[dict[str, Any]]:
    """Buckets of positions in the document, of those that hold any.

    Bits per token become bits per byte, and per word, by the ratio of all tokens to all
    bytes or words, so that the mean over all tokens is `bits_per_byte`.
    """
    total = int(self.tokens.sum())
    ratio, per_word = total / self.num_bytes, total / max(self.num_words, 1)
    edges = [0, *(FIRST_BUCKET << i for i in range(NUM_BUCKETS))]
    return [
      {
        "from": edges[i],
        "to": edges[i + 1],
        "tokens": int(count),
        "bits_per_byte": {w: float(b[i] / count) * ratio for w, b in self.bits.items()},
        "bits_per_word": {
          w: float(b[i] / count) * per_word for w, b in self.bits.items()
        },
        "gain": self._gain(slice(i, i + 1)),
      }
      for i, count in enumerate(self.tokens)
      if count
    ]


class Reading:
  """Documents on the way to their end; iterating reads on, a result after every call.

  A document is read by one row from its beginning to its end, and begins with the
  EOS token and an empty memory. More rows use the device better, and give the same
  numbers.
  """

  def __init__(
    self,
    losses: Callable,
    init_state: Callable[[int], Any],
    documents: Sequence[FileSlice],
    tokenizer: Tokenizer,
    rows: int = 1,
    length: int = 4096,
    document_length: int = 0,
    ways: Sequence[str] = ("carried",),
    segment: int = 0,
  ):
    """Reads nothing yet.

    Args:
      losses: `(tokens, targets, state, reset) -> (nats [B, T], state)`, jitted.
      init_state: `batch_size -> state`.
      documents: from `jaxmem.data.sources.find`.
      tokenizer: text to ids.
      rows: B, documents that are read at once.
      length: T, tokens of a call; the carried memory makes it free to choose.
      document_length: a document is cut, by resets, into documents of at most so many
        tokens; 0 cuts none.
      ways: of `bits_per_byte.WAYS`; differences are to the first.
      segment: tokens after which the ways that forget do, >= 1 if there are any.
    """
    self._losses, self._length, self._segment = losses, length, segment
    self._reader = reader.Reader(documents, tokenizer)
    self._rows = [reader.Row(self._reader, document_length) for _ in range(rows)]
    self._states = {way: [init_state(rows) for _ in _EMPTIED[way]] for way in ways}
    zeros = lambda: {way: np.zeros(NUM_BUCKETS) for way in ways}
    self._bits, self._squares = zeros(), zeros()
    self._tokens = np.zeros(NUM_BUCKETS, np.int64)

  def __iter__(self) -> Iterator[Result]:
    """Reads to the end; the last result is the whole.

    Raises:
      DataError: if a file cannot be read.
      RunError: if a token's cost is not finite.
    """
    while self._advance():
      yield self.result()

  def result(self) -> Result:
    """All that has been read so far."""
    read, count = self._reader.counts, int(self._tokens.sum())
    # what lies read but not scored is left out in proportion: nothing, at the end
    share = lambda key: -(-read[key] * count // max(read["tokens"], 1))
    copy = lambda sums: {way: a.copy() for way, a in sums.items()}
    return Result(
      copy(self._bits),
      copy(self._squares),
      self._tokens.copy(),
      share("bytes"),
      share("words"),
      read["documents"],
    )

  def kept(self) -> tuple[dict[str, Any], Any]:
    """All that a reading of the same text continues from: JSON and a tree of arrays."""
    at, tokens = reader.kept(self._rows)
    # by way in their order, since a tree of arrays sorts a dictionary
    sums = list(self._bits.values()), list(self._squares.values()), self._tokens
    states = list(self._states.values())
    return {"read": self._reader.counts, "rows": at}, (states, sums, tokens)

  def go_on(self, numbers: dict[str, Any], arrays: Any) -> None:
    """Continues from what `kept` returned."""
    self._reader.counts = dict(numbers["read"])
    states, (bits, squares, self._tokens), tokens = arrays
    by_way = lambda values: dict(zip(self._states, values, strict=True))
    self._states, self._bits, self._squares = map(by_way, (states, bits, squares))
    for row, at, line in zip(self._rows, numbers["rows"], tokens, strict=True):
      row.go_on(at, line)

  def _advance(self) -> bool:
    """Reads the next tokens of every row; False if there are none."""
    filled = [row.fill(self._length) for row in self._rows]
    tokens, targets, reset, position = map(np.stack, zip(*filled, strict=True))
    scored = position >= 0
    if not scored.any():
      return False
    bucket = _bucket(position[scored])
    sums = lambda values: np.bincount(bucket, weights=values, minlength=NUM_BUCKETS)
    first = None
    for way in self._states:
      cost = self._cost(way, tokens, targets, reset, position)[scored]
      first = cost if first is None else first
      self._bits[way] += sums(cost)
      self._squares[way] += sums((cost - first) ** 2)
    self._tokens += np.bincount(bucket, minlength=NUM_BUCKETS)
    return True

  def _cost(self, way, tokens, targets, reset, position) -> np.ndarray:
    """Bits of every token, read in a way, whose memory continues."""
    costs, states = [], self._states[way]
    for i, emptied in enumerate(_EMPTIED[way]):
      also = False
      if emptied:
        every, first = (n * self._segment for n in emptied)
        also = (position >= 0) & (position % every == first)
      nats, states[i] = self._losses(tokens, targets, states[i], reset | also)
      costs.append(np.asarray(jax.device_get(nats), np.float64) / math.log(2))
    cost = costs[0]
    if len(costs) > 1:  # an odd segment was preceded by an even one
      cost = np.where(position // self._segment % 2, *costs)
    if not np.isfinite(cost[position >= 0]).all():
      raise RunError(
        f"the cost of a token is not finite after {self._reader.counts['bytes']:,} "
        "bytes: the weights are damaged, or the text is longer than a memory holds"
      )
    return cost


def _bucket(position: np.ndarray) -> np.ndarray:
  """Which bucket each position is in: 0 to 127, 128 to 255, 256 to 511, ..."""
  # frexp is exact where a logarithm rounds: x = m 2^e with 1/2 <= m < 1
  exponent = np.frexp(position // FIRST_BUCKET)[1]
  return np.minimum(exponent, NUM_BUCKETS - 1)
