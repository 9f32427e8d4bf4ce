"""Lines of text as segments, alone or after the previous one, as batches by step."""

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
    tokens: uint16 where the vocabulary fits, else uint32; without EOS tokens.
    starts: the index where each segment begins, and at the end the number of tokens.
    document: the index of each segment's document, not falling.
    num_bytes: bytes of each segment's text; the last segment of a line counts its line
      break, too.
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
  """Cuts documents into segments: each line that is not blank is one, or several.

  Args:
    documents: names and texts.
    tokenizer: the tokenizer, text to ids.
    length: most tokens of a segment, >= 1; a longer line is cut into several.

  Raises:
    DataError: if the tokenizer cannot read a line; names document and line.
  """
  segments, document, num_bytes = [], [], []
  for index, (name, text) in enumerate(documents):
    for number, line in enumerate(text.splitlines(), start=1):
      if not line.strip():
        continue
      ids = _encode(line, tokenizer, name, number)
      parts = [ids[begin : begin + length] for begin in range(0, len(ids), length)]
      segments += parts
      document += [index] * len(parts)
      # the last part has the remaining bytes and the line break: sums are exact
      sizes = [len(tokenizer.decode(part)) for part in parts[:-1]]
      num_bytes += [*sizes, len(line) + 1 - sum(sizes)]
  dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
  starts = np.cumsum([0, *map(len, segments)], dtype=np.int64)  # [N + 1]
  # zeros(0) gives a dtype where there is no segment
  tokens = np.concatenate(
    [np.zeros(0, dtype), *segments], dtype=dtype, casting="unsafe"
  )
  document, num_bytes = (np.array(a, np.int64) for a in (document, num_bytes))
  return Segments(tokens, starts, document, num_bytes)


def _encode(line: bytes, tokenizer: Tokenizer, name: str, number: int) -> np.ndarray:
  try:
    return tokenizer.encode(line)
  except NotUTF8 as error:
    raise DataError(f"line {number} of document {name} is {error}") from error


def pairs(segments: Segments, previous: bool) -> Int64[np.ndarray, "N 2"]:
  """Returns the index of the segment that is read and of the one that is written.

  Args:
    segments: see `lines`.
    previous: whether a segment is written from the one before it, not from itself. The
      first segment of a document has none before it and is not written.
  """
  index = np.arange(len(segments), dtype=np.int64)
  if not previous:
    return np.stack([index, index], 1)
  is_same_document = segments.document[1:] == segments.document[:-1]
  return np.stack([index[:-1], index[1:]], 1)[is_same_document]


def batch(
  segments: Segments, chosen: Int[np.ndarray, "B 2"], length: int, eos_id: int
) -> Batch:
  """Returns a batch of `models.vae.VAE`, without the weight of the KL.

  Args:
    segments: see `lines`, of at most length - 1 tokens each.
    chosen: rows of `pairs`.
    length: T, tokens of a padded row.
    eos_id: the id that begins and ends a text.
  """
  read, size = _padded(segments, chosen[:, 0], length)  # [B, T], [B]
  text, target_size = _padded(segments, chosen[:, 1], length)
  position = np.arange(length)
  targets = np.where(position < target_size[:, None], text, 0)
  targets[position == target_size[:, None]] = eos_id
  # teacher forcing: the EOS token, then the text shifted by one
  tokens = np.concatenate([np.full_like(text[:, :1], eos_id), text[:, :-1]], 1)
  weights = (position <= target_size[:, None]).astype(np.float32)
  written = {"tokens": tokens, "targets": targets, "weights": weights}
  return {"read": read, "length": size.astype(np.int32)} | written


def _padded(
  segments: Segments, items: Int[np.ndarray, " B"], length: int
) -> tuple[Int[np.ndarray, "B T"], Int[np.ndarray, " B"]]:
  """Returns segments as rows that are padded with zeros, and their lengths."""
  starts = segments.starts[items]
  size = segments.starts[items + 1] - starts
  index = starts[:, None] + np.arange(length)  # [B, T]
  # the last segment would be read past the end; what is there is masked below
  text = segments.tokens[np.minimum(index, len(segments.tokens) - 1)].astype(np.int32)
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
  """Returns pairs of segments in epochs, as batches of `batch` with "kl_weight".

  Args:
    segments: see `lines`.
    previous: see `pairs`.
    sizes: T, and rows of a step over all processes.
    tokenizer: the tokenizer of the segments.
    annealing: `final` and `steps` of `kl_weight`.
    seed: decides the order.
    process: index and count of the processes that share the rows.
  """
  (length, batch_size), both = sizes, pairs(segments, previous)
  (final, steps), (index, count) = annealing, process

  def collate(items, numbers):
    arrays = batch(segments, both[items], length, tokenizer.eos_id)
    # rows are numbered from the first step: their number tells the step
    weight = kl_weight(int(numbers[0]) // batch_size, final, steps)
    return arrays | {"kl_weight": np.full(len(items), weight, np.float32)}

  choices = previous, sizes, annealing, seed, tokenizer.fingerprint
  content = (array.tobytes() for array in segments[:3])
  return Rows(
    Epochs(len(both), batch_size, seed, process_index=index, process_count=count),
    collate,
    fingerprint(("jaxmem segments 1", *choices), content),
    tokenizer.fingerprint,
  )


def bytes_per_token(segments: Segments, previous: bool) -> float:
  """Returns bytes of text for each predicted token, the EOS token included.

  Args:
    segments: see `lines`.
    previous: see `pairs`.
  """
  written = pairs(segments, previous)[:, 1]
  tokens = np.diff(segments.starts)[written] + 1  # [N], with the EOS token
  return float(segments.num_bytes[written].sum() / tokens.sum())


def kl_weight(step: int, final: float, steps: int) -> float:
  """Returns final min(1, step / steps), or `final` if `steps` is 0.

  Args:
    step: step of the run, from 0.
    final: weight at the end of the annealing.
    steps: steps over which the weight rises.
  """
  return final * min(1.0, step / steps) if steps else final
