"""What is memory worth? Held-out bits per byte, read in three ways.

- *carried*: memory continues through the whole document;
- *reset*: memory is emptied at every segment;
- *re-read*: memory is emptied, the preceding segment is read but not scored, and then
  the segment is scored.

Carried against re-read is what memory beyond one segment is worth: both know what stood
just before, only one knows what stood further back.

All three are one computation over a stream with other reset flags and weights, so a
token's cost in one is paired with its cost in the others.
"""

import dataclasses
import gzip
import hashlib
import lzma
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxmem.core import utf8
from jaxmem.core.errors import UserError

WAYS = ("carried", "reset", "re-read")
# Longer documents are cut here, so that lanes stay of even length.
MAX_DOCUMENT = 32_768


@dataclasses.dataclass(frozen=True)
class Scores:
  """The cost of every held-out token, in every way of reading.

  Attributes:
    bits: way -> bits of each scored token, documents end to end; the tokens of a
      document are its own and, if it is whole, the EOS token after it.
    position: of each scored token, in its document.
    num_bytes: of all documents, the EOS tokens not counted.
    names: of the documents.
    texts: of the documents.
  """

  bits: dict[str, np.ndarray]
  position: np.ndarray
  num_bytes: int
  names: tuple[str, ...]
  texts: tuple[bytes, ...]

  def bits_per_byte(self) -> dict[str, float]:
    """Way -> all bits, the EOS tokens' too, over the number of bytes."""
    return {way: float(b.sum()) / self.num_bytes for way, b in self.bits.items()}

  def gain(self, over: str) -> np.ndarray:
    """Bits that carrying saves on each token, against another way of reading it."""
    return self.bits[over] - self.bits["carried"]


def choose(documents: Sequence[Any], num_bytes: int) -> list[Any]:
  """A fixed part of the held-out documents, in the order of a hash of their names.

  Args:
    documents: with `name` and `text`.
    num_bytes: how much, but one character at least; the last document is cut there,
      and all at `MAX_DOCUMENT`, at a character's border.

  Returns:
    (name, text, whether it is the whole document), one at least.

  Raises:
    UserError: if no document has any text.
  """
  names = [(d.name, i) for i, d in enumerate(documents) if len(d.text)]
  names.sort(key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
  chosen, left = [], num_bytes
  for name, i in names:
    if left <= 0:
      break
    text = documents[i].text
    cut = utf8.border(text, min(MAX_DOCUMENT, left, len(text)))
    if not cut and not chosen:  # no room for one character, which is at most 4 bytes
      ends = (utf8.border(text, size) for size in range(1, min(len(text), 4) + 1))
      cut = next(end for end in ends if end)
    if not cut:
      break
    chosen.append((name, text[:cut], cut == len(text)))
    left -= cut
  if not chosen:
    raise UserError("the held-out documents have no text: give others, or more")
  return chosen


def pieces(tokens: np.ndarray, segment: int, way: str) -> list[tuple[np.ndarray, ...]]:
  """A document as runs that each begin with an empty memory.

  Args:
    tokens: the document's ids between two EOS tokens, both included.
    segment: tokens of a segment, counted from the document's first.
    way: one of `WAYS`.

  Returns:
    Runs of (index of the token read, whether its successor is scored).
  """
  at = np.arange(len(tokens) - 1)
  if way == "carried":
    return [(at, np.ones(len(at), bool))]
  runs = []
  for begin in range(0, len(at), segment):
    first = begin if way == "reset" else max(begin - segment, 0)
    run = at[first : begin + segment]
    runs.append((run, run >= begin))
  return runs


def lay_out(runs: list[tuple], rows: int, length: int) -> dict[str, np.ndarray]:
  """Runs in `rows` lanes of even length, the longest first.

  Returns:
    tokens, targets, reset, and `slot`: where a token's cost belongs, -1 for nowhere;
    all [rows, a multiple of length].
  """
  lanes: list[list] = [[] for _ in range(rows)]
  sizes = [0] * rows
  for run in sorted(runs, key=lambda run: -len(run[0])):
    lane = int(np.argmin(sizes))
    lanes[lane].append(run)
    sizes[lane] += len(run[0])
  width = max(-(-max(sizes) // length), 1) * length
  out = {key: np.zeros((rows, width), np.int32) for key in ("tokens", "targets")}
  out |= {"reset": np.zeros((rows, width), bool), "slot": np.full((rows, width), -1)}
  for row, lane in enumerate(lanes):
    at = 0
    for run in lane:
      end = at + len(run[0])
      for key, values in zip(("tokens", "targets", "slot"), run, strict=True):
        out[key][row, at:end] = values
      out["reset"][row, at] = True
      at = end
    out["reset"][row, at : at + 1] = True  # what follows is padding
  return out


def score(
  losses: Callable,
  init_state: Callable[[int], Any],
  documents: list[tuple[str, bytes, bool]],
  tokenizer: Any,
  segment: int,
  ways: tuple[str, ...] = WAYS,
  rows: int = 16,
  length: int = 512,
  document_length: int = 0,
) -> Scores:
  """Reads documents in several ways.

  Args:
    losses: `(tokens, targets, state, reset) -> (nats [B, T], state)`, jitted.
    init_state: `batch_size -> state`.
    documents: see `choose`; only a whole one has an end to predict.
    tokenizer: text to ids.
    segment: tokens of a segment for the ways that forget.
    ways: of `WAYS`.
    rows: of a batch.
    length: tokens of a call; the carried memory makes it free to choose.
    document_length: tokens of a document at most; longer ones are cut into several. 0
      cuts none.

  Returns:
    The scores, tokens in the order of the documents.
  """
  eos_id = tokenizer.eos_id
  ids = [
    np.r_[eos_id, tokenizer.encode(text), [eos_id] * whole]
    for _, text, whole in documents
  ]
  ids = [part for d in ids for part in _cut(d, document_length)]
  offsets = np.cumsum([0] + [len(d) - 1 for d in ids])
  bits = {}
  for way in ways:
    runs = []
    for tokens, offset in zip(ids, offsets[:-1], strict=True):
      for at, scored in pieces(tokens, segment, way):
        slot = np.where(scored, offset + at, -1)
        runs.append((tokens[at], tokens[at + 1], slot))
    bits[way] = _run(
      losses, init_state, lay_out(runs, rows, length), length, offsets[-1]
    )
  position = np.concatenate([np.arange(len(d) - 1) for d in ids])
  names, texts, _ = zip(*documents, strict=True)
  return Scores(bits, position, sum(map(len, texts)), names, texts)


def _cut(tokens: np.ndarray, size: int) -> list[np.ndarray]:
  """Stretches of `size` tokens and the target behind them; all of it if size is 0."""
  begins = range(0, len(tokens) - 1, size) if size else [0]
  return [tokens[begin : begin + (size or len(tokens)) + 1] for begin in begins]


def _run(losses, init_state, lanes, length, total) -> np.ndarray:
  """Bits of each token, in its slot; NaN where the model's own are."""
  rows, width = lanes["tokens"].shape
  state = init_state(rows)
  bits = np.full(total, np.nan)
  for begin in range(0, width, length):
    part = {key: a[:, begin : begin + length] for key, a in lanes.items()}
    nats, state = losses(part["tokens"], part["targets"], state, part["reset"])
    scored = part["slot"] >= 0
    bits[part["slot"][scored]] = np.asarray(jax.device_get(nats))[scored] / math.log(2)
  return bits


# What the numbers of `compressors` are of.
PACKED = {
  "gzip, whole": "gzip -9, the same documents as one file",
  "gzip, per file": "gzip -9, each document alone",
  "xz, whole": "xz -9e, the same documents as one file",
  "xz, per file": "xz -9e, each document alone",
}


def compressors(texts: Sequence[bytes]) -> dict[str, float]:
  """Bits per byte of gzip and xz, see `PACKED`; the headers of files are counted.

  Args:
    texts: the documents that a model was scored on.
  """
  whole, size = b"".join(texts), sum(map(len, texts))
  packers = {
    "gzip": lambda data: gzip.compress(data, 9),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
  }
  out = {}
  for name, pack in packers.items():
    out[f"{name}, whole"] = 8 * len(pack(whole)) / size
    out[f"{name}, per file"] = 8 * sum(len(pack(t)) for t in texts) / size
  return out


def packed_rows(packed: dict[str, float]) -> list[str]:
  """The numbers of `compressors`, as rows of three cells in Markdown."""
  return [f"| {name} | {bits:.3f} | {PACKED[name]} |" for name, bits in packed.items()]


@dataclasses.dataclass(frozen=True)
class Buckets:
  """A mean by bucket.

  Attributes:
    edges: n + 1 borders.
    mean: n means; NaN where there is nothing.
    error: n standard errors of the mean.
    count: n numbers of tokens.
  """

  edges: np.ndarray
  mean: np.ndarray
  error: np.ndarray
  count: np.ndarray


def buckets(values: np.ndarray, position: np.ndarray, edges: np.ndarray) -> Buckets:
  """The mean of `values` by `position`, for edges[i] <= position < edges[i + 1]."""
  which = np.digitize(position, edges) - 1
  keep = (which >= 0) & (which < len(edges) - 1)
  n = len(edges) - 1
  count = np.bincount(which[keep], minlength=n)
  sums = lambda v: np.bincount(which[keep], weights=v[keep], minlength=n)
  with np.errstate(invalid="ignore", divide="ignore"):
    mean = sums(values) / count
    error = np.sqrt(np.maximum(sums(values**2) / count - mean**2, 0) / count)
  return Buckets(edges, mean, error, count)


def by_document_position(scores: Scores, over: str) -> Buckets:
  """The gain of carrying by position in the document, in doubling buckets from 128."""
  top = max(int(scores.position.max()) + 1, 256)
  edges = [0] + [2**i for i in range(7, math.ceil(math.log2(top)) + 1)]
  return buckets(scores.gain(over), scores.position, np.array(edges))


def by_segment_position(scores: Scores, segment: int, over: str) -> Buckets:
  """The gain of carrying by position within the segment, first segments left out."""
  later = scores.position >= segment
  edges = np.linspace(0, segment, min(segment, 16) + 1).astype(int)
  return buckets(scores.gain(over)[later], scores.position[later] % segment, edges)
