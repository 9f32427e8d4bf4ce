"""Examples of a task by number: a seed fixes every one, and train and test share none.

    task = parse("mqar:pairs=4")
    test = Episodes(task, length=64, seed=0, split="test")
    test[[0, 1, 7]].tokens  # [3, 64]

An example belongs to the split that its own tokens say (a checksum of them), whichever
seed or number drew it; so no example of one split is one of another.
"""

import dataclasses
import functools
import inspect
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmem.core import ranges, registry
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.registry import nearest
from jaxmem.data.epochs import Fresh
from jaxmem.data.rows import Rows, fingerprint
from jaxmem.tasks.synthetic import problems
from jaxmem.tasks.synthetic.problems import Examples

SPLITS = ("train", "test")
# One example in so many is of the test split.
TEST_SHARE = 4
# Examples are drawn so many at a time, whatever the batch: number i is row i % BLOCK.
BLOCK = 64
# Draws of a block without enough examples of a split: there are hardly any.
MOST_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Task:
  """A task by the name of its file in `problems`, and options of its `draw`."""

  name: str
  options: tuple[tuple[str, Any], ...] = ()

  def __str__(self) -> str:
    return ":".join([self.name, *(f"{k}={v}" for k, v in self.options)])

  @property
  def arguments(self) -> dict[str, Any]:
    """The options of `draw`: those of the size, then those that were named."""
    options = dict(self.options)
    problem, preset = problems.resolve(self.name)
    return problem.SIZES[options.pop("size", "cpu")] | preset | options

  @property
  def length(self) -> int:
    """T of the size."""
    return self.arguments["length"]

  @property
  def vocab_size(self) -> int:
    """Ids are 0 .. vocab_size - 1."""
    return self.arguments["vocab_size"]

  def draw(self, rng: np.random.Generator, rows: int, length: int) -> Examples:
    """Examples of `length` tokens.

    Raises:
      UserError: if the task has none of that length.
    """
    problem, _ = problems.resolve(self.name)
    with raised_as(UserError, f"task {self}: "):
      return problem.draw(rng, rows, **self.arguments | {"length": length})


def parse(text: str) -> Task:
  """A task from the command line: `mqar`, `mqar:pairs=4`, `mqar:size=paper`.

  Raises:
    UserError: if there is no such task, size or option; names the nearest.
  """
  with raised_as(UserError, "task: "):
    name, options = registry.options(text)
  try:
    problem, _ = problems.resolve(name)
  except KeyError as error:
    raise UserError(f"no task {name!r}: {nearest(name, problems.names())}") from error
  known = ["size", *list(inspect.signature(problem.draw).parameters)[2:]]
  known.remove("length")
  with raised_as(UserError):
    registry.check_options(options, known, f"task {name!r}")
  with raised_as(UserError, f"task {name!r}: "):
    ranges.check_word(options.get("size", "cpu"), "size", problem.SIZES)
  return Task(name, tuple(sorted(options.items())))


class Episodes:
  """The examples of a split, by number; `episodes[numbers]` is `Examples`.

  Attributes:
    task: whose examples.
    length: T of each.
    seed: >= 0.
    split: one of `SPLITS`.
  """

  def __init__(self, task: Task, length: int, seed: int, split: str):
    """Draws a block, and so finds what cannot be drawn.

    Raises:
      UserError: if the task has no such examples.
    """
    self.task, self.length, self.seed, self.split = task, length, seed, split
    # threads that read ahead may stand in several blocks
    self._block = functools.lru_cache(maxsize=16)(self._draw)
    self._block(0)

  def __getitem__(self, numbers: Sequence[int] | np.ndarray) -> Examples:
    numbers = np.asarray(numbers)
    rows = [[a[n % BLOCK] for a in self._block(int(n) // BLOCK)] for n in numbers]
    return Examples(*map(np.stack, zip(*rows, strict=True)))

  def ids(self, numbers: Sequence[int]) -> list[str]:
    """What examples are called: the same name is the same example, always."""
    head = f"{self.task}/{self.length}/{self.seed}/{self.split}"
    return [f"{head}/{n}" for n in numbers]

  def _draw(self, block: int) -> Examples:
    """Block `block`: draws until enough are of the split."""
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), block])
    parts, have = [], 0
    for _ in range(MOST_DRAWS):
      drawn = self.task.draw(rng, BLOCK, self.length)
      mine = np.array([split_of(row) == self.split for row in drawn.tokens])
      parts.append([a[mine] for a in drawn])
      have += mine.sum()
      if have >= BLOCK:
        return Examples(*(np.concatenate(p)[:BLOCK] for p in zip(*parts, strict=True)))
    raise UserError(
      f"task {self.task} of length {self.length} has too few different examples for a "
      f"{self.split} split: make it longer"
    )


def split_of(tokens: np.ndarray) -> str:
  """The split that an example with these tokens belongs to."""
  test = zlib.crc32(np.ascontiguousarray(tokens).tobytes()) % TEST_SHARE == 0
  return SPLITS[test]


def example_rows(
  episodes: Episodes, batch_size: int, process: tuple[int, int] = (0, 1)
) -> Rows:
  """The batch of every step, as `data.Lanes` has it; a row is an example.

  Every row begins a document, so memory starts empty. Example `step * batch_size + row`
  is read once. The name of the tokenizer is the task as text, which names the
  vocabulary.

  Args:
    episodes: the examples.
    batch_size: rows of a step over all processes.
    process: which of how many parts of the rows to read.
  """

  def collate(numbers, _):
    tokens, targets, weights = episodes[numbers]
    reset = np.zeros(tokens.shape, bool)
    reset[:, 0] = True
    return {
      "tokens": tokens.astype(np.int32),
      "targets": targets.astype(np.int32),
      "reset": reset,
      "weights": weights.astype(np.float32),
    }

  task, length, seed = str(episodes.task), episodes.length, episodes.seed
  return Rows(
    Fresh(batch_size, process),
    collate,
    fingerprint(("jaxmem episodes 1", task, length, seed, batch_size)),
    task,
  )
