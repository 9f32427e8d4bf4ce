"""Windows of a table over time, and what comes after them, as batches by step."""

import hashlib
import json

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data.epochs import Epochs


class Windows:
  """The batch of every step; see `tasks.Rows`.

      history  float32 [b, T, C]
      future   float32 [b, H, C]  the steps after each
      weights  float32 [b]        1
      rows     int64   [b]        step * batch_size + row, counted over all processes

  The windows of a step are those of `Epochs`.

  Attributes:
    count: windows there are.
    fingerprint: SHA-256 over all that decides what a step reads.
  """

  tokenizer = ""

  def __init__(
    self,
    values: Float[np.ndarray, "N C"],
    sizes: tuple[int, int],
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Args: the table; T and H; windows of a step over all processes; what decides the
    order; which part of the rows to read."""
    self._values, self._sizes = values, sizes
    self.count = len(values) - sum(sizes) + 1
    self._epochs = Epochs(self.count, batch_size, seed, process_index, process_count)
    parts = json.dumps(("jaxmem windows 1", sizes, seed, batch_size)).encode()
    self.fingerprint = hashlib.sha256(parts + values.tobytes()).hexdigest()

  def __len__(self) -> int:
    return len(self._epochs)

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    numbers, starts = self._epochs[step]
    history, future = cut(self._values, starts, self._sizes)
    weights = np.ones(len(numbers), np.float32)
    return {"history": history, "future": future, "weights": weights, "rows": numbers}


def cut(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"]]:
  """Windows of T steps and the H after each, float32."""
  at = starts[:, None] + np.arange(sum(sizes))
  both = values[at].astype(np.float32)
  return both[:, : sizes[0]], both[:, sizes[0] :]


def to_the_end(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[
  Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"], Int[np.ndarray, " B"]
]:
  """Windows of T steps, the H after each, and how many of those H there are.

  Steps after the end of the table repeat its last row.
  """
  length, horizon = sizes
  at = starts[:, None] + np.arange(length + horizon)
  both = values[np.minimum(at, len(values) - 1)]
  known = np.minimum(len(values) - starts - length, horizon)
  return both[:, :length], both[:, length:], known
