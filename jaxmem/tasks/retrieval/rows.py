"""The batches of queries and documents that belong together."""

import hashlib
import json
from typing import Any

import numpy as np

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.tokenizers import Tokenizer

Batch = dict[str, np.ndarray]


class PassageRows:
  """Pairs of texts, a number each text, in epochs; a `tasks.Rows`.

  Attributes:
    fingerprint: SHA-256 over all that decides what a step reads.
    tokenizer: the tokenizer's fingerprint.
  """

  def __init__(
    self,
    pairs: list[tuple[str, str, int, int]],
    tokenizer: Tokenizer,
    sizes: tuple[int, int],
    seed: int,
    process: tuple[int, int] = (0, 1),
  ):
    """Args: two texts that belong together, and the number of each: pairs that share
    a text are no rivals; T, and pairs of a step; what decides the order; which of how
    many parts of the rows to read."""
    self._length, batch_size = sizes
    self._tokenizer, self.tokenizer = tokenizer, tokenizer.fingerprint
    encode = lambda text: texts.encode(text, tokenizer, "a text")
    self._pairs = [(encode(a), encode(b), *numbers) for a, b, *numbers in pairs]
    self._epochs = Epochs(len(pairs), batch_size, seed, *process)
    decides = ("jaxmem passages 2", sizes, seed, self.tokenizer, pairs)
    self.fingerprint = hashlib.sha256(json.dumps(decides).encode()).hexdigest()

  def __len__(self) -> int:
    return len(self._epochs)

  def __getitem__(self, step: int) -> Batch:
    numbers, items = self._epochs[step]
    return self.batch(items) | {"rows": numbers}

  def batch(self, items: Any) -> Batch:
    """Some pairs; see `models.encoder.Encoder`."""
    first, second, *groups = zip(*(self._pairs[i] for i in items), strict=True)
    made, other = (
      texts.batch([[ids] for ids in side], self._tokenizer, self._length)
      for side in (first, second)
    )
    return made | {
      "other": other["tokens"],
      "other_length": other["length"],
      "group": np.array(groups[0], np.int32),
      "other_group": np.array(groups[1], np.int32),
      "weights": np.ones(len(first), np.float32),
    }
