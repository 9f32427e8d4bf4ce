"""Items in epochs: which ones a step reads, and all of them once, in equal rows."""

import functools
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from jaxmem.core.progress import DELAY, Progress

# The numbers of a step's rows, counted over all steps and processes, and their items.
StepItems = tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b ..."]]


@runtime_checkable
class StepOrder(Protocol):
  """Which items each step reads; `order[step]` is a pure function of the step."""

  def __len__(self) -> int: ...
  def __getitem__(self, step: int) -> StepItems: ...


Order = StepOrder  # the name before 0.2; it goes in 0.3


class Fresh:
  """An order of items without end: row n of the run reads item n, and no item twice."""

  def __init__(
    self,
    batch_size: int,
    process: tuple[int, int] = (0, 1),
    steps: int = 2**40,
  ):
    """Divides the rows of a step among the processes.

    Args:
      batch_size: rows of a step over all processes.
      process: index and number of the part of the rows to read.
      steps: how many steps there are.
    """
    index, count = process
    self._batch, self._rows, self._steps = batch_size, batch_size // count, steps
    self._first = index * self._rows

  def __len__(self) -> int:
    return self._steps

  def __getitem__(self, step: int) -> StepItems:
    """Returns step * batch_size + row, counted over all processes, for both.

    Raises:
      IndexError: if there is no such step.
    """
    if not 0 <= step < len(self):
      raise IndexError(f"step {step} is outside 0 .. {len(self) - 1}")
    first = int(step) * self._batch + self._first
    numbers = first + np.arange(self._rows, dtype=np.int64)  # [b]
    return numbers, numbers


class Epochs:
  """Which items each step reads, as a pure function of seed and step.

  An epoch is all items in an order that seed and epoch decide; a step at the border of
  two epochs reads from both, so no item is left out.

      numbers, items = Epochs(1000, batch_size=32, seed=0)[step]

  Attributes:
    count: how many items there are.
  """

  def __init__(
    self,
    count: int,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
  ):
    """Shuffles nothing yet.

    Args:
      count: how many items there are.
      batch_size: items of a step over all processes.
      seed: decides the order.
      process_index: which part of a step to read.
      process_count: parts of a step.
    """
    self.count, self._seed = count, seed
    self._fresh = Fresh(batch_size, (process_index, process_count))
    # Two epochs are kept: threads that read ahead stand on both sides of a border.
    self._order = functools.lru_cache(maxsize=2)(self._shuffled)

  def __len__(self) -> int:
    return len(self._fresh)

  def __getitem__(self, step: int) -> StepItems:
    """Returns step * batch_size + row over all processes, and items below `count`.

    Raises:
      IndexError: if the step is negative, or 2^40 or more.
    """
    numbers, _ = self._fresh[step]  # [b]
    positions = (divmod(n, self.count) for n in numbers.tolist())
    return numbers, np.array([self._order(epoch)[i] for epoch, i in positions])

  def _shuffled(self, epoch: int) -> np.ndarray:
    return np.random.default_rng([self._seed, epoch]).permutation(self.count)


def once(count: int, rows: int) -> Iterator[tuple[Int64[np.ndarray, " rows"], int]]:
  """Yields all items in their order, `rows` at a time: one shape is compiled once.

  Long work shows how many items are done, see `core.progress`.

  Args:
    count: how many items there are.
    rows: items at a time.

  Yields:
    `rows` items, and how many of them count; the others repeat the last item.
  """
  with Progress(count, "examples", delay=DELAY) as progress:
    for begin in range(0, count, rows):
      items = np.minimum(begin + np.arange(rows), count - 1)  # [rows]
      yield items, min(rows, count - begin)
      progress.update(min(begin + rows, count))
