"""Items in epochs: which ones a step reads, and all of them once, in equal rows."""

import functools
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

Chosen = tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b ..."]]


@runtime_checkable
class Order(Protocol):
  """Which items each step reads; `order[step]` is a pure function of the step."""

  def __len__(self) -> int: ...
  def __getitem__(self, step: int) -> Chosen:
    """The numbers of the rows, counted over all steps and processes; their items."""
    ...


class Fresh:
  """An order of items without end: row n of the run reads item n, and none twice."""

  def __init__(
    self,
    batch_size: int,
    process: tuple[int, int] = (0, 1),
    steps: int = 2**40,
  ):
    """Shares the rows of a step out.

    Args:
      batch_size: rows of a step over all processes.
      process: which of how many parts of the rows to read.
      steps: that there are.
    """
    index, count = process
    self._batch, self._rows, self._steps = batch_size, batch_size // count, steps
    self._first = index * self._rows

  def __len__(self) -> int:
    return self._steps

  def __getitem__(self, step: int) -> Chosen:
    """step * batch_size + row, counted over all processes, twice.

    Raises:
      IndexError: if there is no such step.
    """
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} is outside 0 .. {len(self) - 1}")
    first = int(step) * self._batch + self._first
    numbers = first + np.arange(self._rows, dtype=np.int64)
    return numbers, numbers


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
    """Args:
    count: items there are.
    batch_size: items of a step over all processes.
    seed: decides the order.
    process_index: which part of a step to read.
    process_count: parts of a step.
    """
    self.count, self._seed = count, seed
    self._fresh = Fresh(batch_size, (process_index, process_count))
    self._order = functools.lru_cache(maxsize=2)(self._shuffled)

  def __len__(self) -> int:
    return len(self._fresh)

  def __getitem__(self, step: int) -> Chosen:
    """step * batch_size + row, counted over all processes, and the items, 0 .. count.

    Raises:
      IndexError: if the step is negative, or 2^40 or more.
    """
    numbers, _ = self._fresh[step]
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
