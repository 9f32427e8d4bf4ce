"""Rows of random letters, whose last target is the first letter."""

import numpy as np
from jaxmem.data.rows import Batch

LETTERS = "abcdefgh"


def batch(numbers: np.ndarray, length: int, seed: int) -> Batch:
  """Returns a batch of rows; the same number gives the same row at every step.

  Args:
    numbers: int64 ids of the rows, [B].
    length: T, letters of a row.
    seed: of all rows.
  """
  rows = []
  for number in numbers.tolist():
    draw = np.random.default_rng([seed, number])
    rows.append(draw.integers(len(LETTERS), size=length))
  tokens = np.stack(rows).astype(np.int32)  # [B, T]
  position = np.arange(length)
  ends = position == length - 1  # only the last target counts
  return {
    "tokens": tokens,
    "targets": np.where(ends, tokens[:, :1], 0).astype(np.int32),
    "reset": np.broadcast_to(position == 0, tokens.shape),
    "weights": np.broadcast_to(ends, tokens.shape).astype(np.float32),
  }
