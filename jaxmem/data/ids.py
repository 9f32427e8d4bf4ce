"""Token ids: how many there may be, and whether they are of a vocabulary."""

import numpy as np

# Ids of a vocabulary at most: tables of more would not fit a device.
MOST_IDS = 10_000_000
# What the file says in which a run keeps the tokenizer of a `.gguf`.
BYTE_PAIRS = "byte pairs 1"


def check_ids(ids: np.ndarray, vocab_size: int) -> list[int]:
  """The ids in row order.

  Raises:
    ValueError: if one is outside 0 .. vocab_size - 1.
  """
  ids = np.asarray(ids).ravel()
  outside = ids[(ids < 0) | (ids >= vocab_size)]
  if outside.size:
    raise ValueError(f"id {outside[0]} is outside 0 .. {vocab_size - 1}")
  return ids.tolist()
