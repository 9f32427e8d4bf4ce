"""Lines of text as segments, alone or behind the segment before, as batches by step."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tokenizers import Tokenizer


class Segments(NamedTuple):
  """Segments of documents, their tokens end to end.

  Attributes:
    tokens: uint16 where the vocabulary fits, else uint32; without any EOS token.
    starts: where each segment begins, and last the number of tokens.
    document: the number of the document that each segment is of, not falling.
    num_bytes: of each segment's text; the last one of a line has its line break too.
  """

  tokens: np.ndarray
  starts: Int64[np.ndarray, " starts"]
  document: Int64[np.ndarray, " N"]
  num_bytes: Int64[np.ndarray, " N"]

  def __len__(self) -> int:
    return len(self.document)


def lines(
  documents: Iterable[tuple[str, bytes]], tokenizer: Tokenizer, length: int
) -> Segments:
  """Every line that is not blank is a segment; a longer one is cut into several.

  Args:
    documents: names and texts.
    tokenizer: text to ids.
    length: tokens of a segment at most, >= 1.

  Raises:
    DataError: if the tokenizer cannot read a line; names document and line.
  """
  found, document, num_bytes = [], [], []
  for number, (name, text) in enumerate(documents):
    for at, line in enumerate(text.splitlines(), start=1):
      if not line.strip():
        continue
      ids = _encode(line, tokenizer, name, at)
      parts = [ids[begin : begin + length] for begin in range(0, len(ids), length)]
      found += parts
      document += [number] * len(parts)
      before = [len(tokenizer.decode(part)) for part in parts[:-1]]
      num_bytes += [*before, len(line) + 1 - sum(before)]
  dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
  starts = np.cumsum([0, *map(len, found)], dtype=np.int64)
  tokens = np.concatenate([np.zeros(0, dtype), *found], dtype=dtype, casting="unsafe")
  document, num_bytes = (np.array(a, np.int64) for a in (document, num_bytes))
  return Segments(tokens, starts, document, num_bytes)


def _encode(line: bytes, tokenizer: Tokenizer, name: str, at: int) -> np.ndarray:
  try:
    return tokenizer.encode(line)
  except NotUTF8 as error:
    raise DataError(f"line {at} of document {name} is {error}") from error


def pairs(segments: Segments, previous: bool) -> Int64[np.ndarray, "N 2"]:
  """Which segment is read, and which is written: the same, or the one after it.

  With `previous` the first segment of a document has none before it and is not written.
  """
  at = np.arange(len(segments), dtype=np.int64)
  if not previous:
    return np.stack([at, at], 1)
  same = segments.document[1:] == segments.document[:-1]
  return np.stack([at[:-1], at[1:]], 1)[same]


def batch(
  segments: Segments, chosen: Int[np.ndarray, "B 2"], length: int, eos_id: int
) -> Batch:
  """What `models.vae.VAE` reads of some pairs, but for the weight of the KL.

  Args:
    segments: see `lines`, of at most length - 1 tokens each.
    chosen: rows of `pairs`.
    length: T, to which all is padded.
    eos_id: the id that begins and ends a text.
  """
  read, size = _padded(segments, chosen[:, 0], length)
  text, target_size = _padded(segments, chosen[:, 1], length)
  at = np.arange(length)
  targets = np.where(at < target_size[:, None], text, 0)
  targets[at == target_size[:, None]] = eos_id
  tokens = np.concatenate([np.full_like(text[:, :1], eos_id), text[:, :-1]], 1)
  weights = (at <= target_size[:, None]).astype(np.float32)
  written = {"tokens": tokens, "targets": targets, "weights": weights}
  return {"read": read, "length": size.astype(np.int32)} | written


def _padded(
  segments: Segments, which: Int[np.ndarray, " B"], length: int
) -> tuple[Int[np.ndarray, "B T"], Int[np.ndarray, " B"]]:
  """Segments as rows, zeros behind them, and their lengths."""
  starts = segments.starts[which]
  size = segments.starts[which + 1] - starts
  at = starts[:, None] + np.arange(length)
  text = segments.tokens[np.minimum(at, len(segments.tokens) - 1)].astype(np.int32)
  return np.where(np.arange(length) < size[:, None], text, 0), size


def segment_rows(
  segments: Segments,
  previous: bool,
  sizes: tuple[int, int],
  tokenizer: Tokenizer,
  annealing: tuple[float, int],
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """Pairs of segments in epochs, see `batch`, with "kl_weight".

  Args:
    segments: see `lines`.
    previous: see `pairs`.
    sizes: T, and rows of a step over all processes.
    tokenizer: of the segments.
    annealing: see `kl_weight`: its `final` and `steps`.
    seed: decides the order.
    process: which of how many parts of the rows to read.
  """
  (length, batch_size), both = sizes, pairs(segments, previous)

  def collate(items, numbers):
    made = batch(segments, both[items], length, tokenizer.eos_id)
    weight = kl_weight(int(numbers[0]) // batch_size, *annealing)
    return made | {"kl_weight": np.full(len(items), weight, np.float32)}

  choices = previous, sizes, annealing, seed, tokenizer.fingerprint
  content = (array.tobytes() for array in segments[:3])
  return Rows(
    Epochs(len(both), batch_size, seed, *process),
    collate,
    fingerprint(("jaxmem segments 1", *choices), content),
    tokenizer.fingerprint,
  )


def bytes_per_token(segments: Segments, previous: bool) -> float:
  """Bytes of text for a token that is predicted, the EOS token at the end included."""
  written = pairs(segments, previous)[:, 1]
  tokens = np.diff(segments.starts)[written] + 1
  return float(segments.num_bytes[written].sum() / tokens.sum())


def kl_weight(step: int, final: float, steps: int) -> float:
  """final min(1, step / steps): from 0 in a line; `final` at once if `steps` is 0."""
  return final * min(1.0, step / steps) if steps else final
