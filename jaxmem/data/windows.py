"""Windows of a table over time, and what comes after them, as batches by step."""

import functools
import hashlib
import json

import numpy as np
from jaxtyping import Float, Int


class Windows:
  """The batch of every step; see `jobs.Rows`.

      history  float32 [b, T, C]
      future   float32 [b, H, C]  the steps after each
      weights  float32 [b]        1
      rows     int64   [b]        step * batch_size + row, counted over all processes

  An epoch is all windows in an order that seed and epoch decide; a step that stands on
  the border of two epochs reads from both, so none is left out.

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
    self._values, self._sizes, self._seed = values, sizes, seed
    self._batch, self._rows = batch_size, batch_size // process_count
    self._first = process_index * self._rows
    self.count = len(values) - sum(sizes) + 1
    self._order = functools.lru_cache(maxsize=2)(self._shuffled)
    parts = json.dumps(("jaxmem windows 1", sizes, seed, batch_size)).encode()
    self.fingerprint = hashlib.sha256(parts + values.tobytes()).hexdigest()

  def __len__(self) -> int:
    return 2**40

  def __getitem__(self, step: int) -> dict[str, np.ndarray]:
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} is outside 0 .. {len(self) - 1}")
    numbers = int(step) * self._batch + self._first + np.arange(self._rows)
    places = (divmod(n, self.count) for n in numbers.tolist())
    starts = np.array([self._order(epoch)[at] for epoch, at in places])
    history, future = cut(self._values, starts, self._sizes)
    weights = np.ones(len(numbers), np.float32)
    return {"history": history, "future": future, "weights": weights, "rows": numbers}

  def _shuffled(self, epoch: int) -> np.ndarray:
    return np.random.default_rng([self._seed, epoch]).permutation(self.count)


def cut(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"]]:
  """Windows of T steps and the H after each, float32."""
  at = starts[:, None] + np.arange(sum(sizes))
  both = values[at].astype(np.float32)
  return both[:, : sizes[0]], both[:, sizes[0] :]
