"""The batches of pairs of texts, such as a query and its document."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tokenizers import Ids, Tokenizer

# The two texts of a pair, and the number of each: equal numbers are equal texts.
Pair = tuple[str, str, int, int]


class Encoded(NamedTuple):
  """A pair of texts as ids.

  Attributes:
    text: the ids of the first text.
    other: the ids of the second text.
    group: the number of the first text; pairs that share one are no negatives.
    other_group: the number of the second text, likewise.
  """

  text: Ids
  other: Ids
  group: int
  other_group: int


def passage_rows(
  pairs: list[Pair],
  tokenizer: Tokenizer,
  sizes: tuple[int, int],
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """Returns the batches of pairs of texts, in epochs.

  Args:
    pairs: the pairs.
    tokenizer: the tokenizer of the texts.
    sizes: T, and pairs of a step over all processes.
    seed: decides the order.
    process: which process reads, of how many.
  """
  length, batch_size = sizes
  encoded = encode(pairs, tokenizer)
  # the texts themselves: a run continues only with the pairs that it has learned
  decides = ("jaxmem passages 2", sizes, seed, tokenizer.fingerprint, pairs)
  return Rows(
    Epochs(len(pairs), batch_size, seed, *process),
    lambda items, _: collate((encoded[i] for i in items), tokenizer, length),
    fingerprint(decides),
    tokenizer.fingerprint,
  )


def encode(pairs: Iterable[Pair], tokenizer: Tokenizer) -> list[Encoded]:
  """Tokenizes pairs.

  Raises:
    DataError: if the tokenizer makes no token of a text.
  """

  def ids(text: str) -> Ids:
    return texts.encode(text, tokenizer, "a text")

  return [Encoded(ids(a), ids(b), group, other) for a, b, group, other in pairs]


def collate(pairs: Iterable[Encoded], tokenizer: Tokenizer, length: int) -> Batch:
  """Makes a batch of pairs, of `length` tokens; see `TextEmbedder`."""
  pairs = list(pairs)
  text = texts.batch([[pair.text] for pair in pairs], tokenizer, length)
  other = texts.batch([[pair.other] for pair in pairs], tokenizer, length)
  return text | {
    "other": other["tokens"],
    "other_length": other["length"],
    "group": np.array([pair.group for pair in pairs], np.int32),
    "other_group": np.array([pair.other_group for pair in pairs], np.int32),
    "weights": np.ones(len(pairs), np.float32),
  }
