"""Items in epochs: which ones a step reads, and all of them once, in equal rows."""

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


class Epochs:
  """Which items each step reads, as a pure function of seed and step.

  An epoch is all items in an order that seed and epoch decide; a step that stands on
  the border of two epochs reads from both, so none is left out.

      numbers, items = Epochs(1000, batch_size=32, seed=0)[step]

  Attributes:
    count: items there are.
  """

  def __init__(
    self,
    count: int,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Args: items; those of a step over all processes; what decides the order; which
    part of them to read."""
    self.count = count
    self._seed, self._batch = seed, batch_size
    self._rows = batch_size // process_count
    self._first = process_index * self._rows
    self._order = functools.lru_cache(maxsize=2)(self._shuffled)

  def __len__(self) -> int:
    return 2**40

  def __getitem__(
    self, step: int
  ) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """step * batch_size + row, counted over all processes, and the items, 0 .. count.

    Raises:
      IndexError: if the step is negative, or 2^40 or more.
    """
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} is outside 0 .. {len(self) - 1}")
    numbers = int(step) * self._batch + self._first + np.arange(self._rows)
    places = (divmod(n, self.count) for n in numbers.tolist())
    return numbers, np.array([self._order(epoch)[at] for epoch, at in places])

  def _shuffled(self, epoch: int) -> np.ndarray:
    return np.random.default_rng([self._seed, epoch]).permutation(self.count)


def once(count: int, rows: int) -> Iterator[tuple[Int64[np.ndarray, " rows"], int]]:
  """All items in their order, so many at a time: one shape, compiled once.

  Yields:
    `rows` items, and how many of them count; the last ones repeat the last item.
  """
  for begin in range(0, count, rows):
    items = np.minimum(begin + np.arange(rows), count - 1)
    yield items, min(rows, count - begin)
