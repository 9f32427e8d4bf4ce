"""The batches of queries and documents that belong together."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tokenizers import Ids, Tokenizer

# Two texts that belong together, and the number of each.
Pair = tuple[str, str, int, int]


class Encoded(NamedTuple):
  """A pair as ids; pairs that share the number of a text are no negatives."""

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
  """Pairs of texts in epochs.

  Args:
    pairs: texts that belong together.
    tokenizer: of the texts.
    sizes: T, and pairs of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
  """
  length, batch_size = sizes
  encoded = encode(pairs, tokenizer)
  decides = ("jaxmem passages 2", sizes, seed, tokenizer.fingerprint, pairs)
  return Rows(
    Epochs(len(pairs), batch_size, seed, *process),
    lambda items, _: collate((encoded[i] for i in items), tokenizer, length),
    fingerprint(decides),
    tokenizer.fingerprint,
  )


def encode(pairs: Iterable[Pair], tokenizer: Tokenizer) -> list[Encoded]:
  """The ids of pairs.

  Raises:
    DataError: if the tokenizer makes nothing of a text.
  """
  ids = lambda text: texts.encode(text, tokenizer, "a text")
  return [Encoded(ids(a), ids(b), *numbers) for a, b, *numbers in pairs]


def collate(pairs: Iterable[Encoded], tokenizer: Tokenizer, length: int) -> Batch:
  """The batch of some pairs, of `length` tokens; see `TextEmbedder`."""
  first, second, *groups = zip(*pairs, strict=True)
  made, other = (
    texts.batch([[ids] for ids in side], tokenizer, length) for side in (first, second)
  )
  return made | {
    "other": other["tokens"],
    "other_length": other["length"],
    "group": np.array(groups[0], np.int32),
    "other_group": np.array(groups[1], np.int32),
    "weights": np.ones(len(first), np.float32),
  }
