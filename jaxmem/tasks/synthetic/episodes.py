"""Examples of a task by number: a seed fixes them all, and train and test share none.

    task = parse("mqar:pairs=4")
    test = Episodes(task, length=64, seed=0, split="test")
    test[[0, 1, 7]].tokens  # [3, 64]

A checksum of its tokens decides the split of an example, whichever seed or number drew
it; so no example of one split is one of another.
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
# One example of so many is of the test split.
TEST_SHARE = 4
# Examples are drawn so many at a time, so that number i does not depend on the batch:
# it is row i % BLOCK of its block.
BLOCK = 64
# After so many draws without a full block, the task has hardly any different examples.
MOST_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Problem:
  """A task by the name of its file in `problems`, and options of its `draw`."""

  name: str
  options: tuple[tuple[str, Any], ...] = ()

  def __str__(self) -> str:
    return ":".join([self.name, *(f"{k}={v}" for k, v in self.options)])

  @property
  def arguments(self) -> dict[str, Any]:
    """The arguments of `draw`: those of the size, then those of `options`."""
    options = dict(self.options)
    problem, preset = problems.resolve(self.name)
    return problem.SIZES[options.pop("size", "cpu")] | preset | options

  @property
  def length(self) -> int:
    """T, the default number of tokens of an example."""
    return self.arguments["length"]

  @property
  def vocab_size(self) -> int:
    """The number of ids, which are 0 .. vocab_size - 1."""
    return self.arguments["vocab_size"]

  def draw(self, rng: np.random.Generator, rows: int, length: int) -> Examples:
    """Draws `rows` examples of `length` tokens.

    Raises:
      UserError: if the task has none of that length.
    """
    problem, _ = problems.resolve(self.name)
    with raised_as(UserError, f"task {self}: "):
      return problem.draw(rng, rows, **self.arguments | {"length": length})


def parse(text: str) -> Problem:
  """Returns the task of a text such as `mqar`, `mqar:pairs=4` or `mqar:size=paper`.

  Raises:
    UserError: if there is no such task, size or option; the message names the nearest.
  """
  with raised_as(UserError, "task: "):
    name, options = registry.options(text)
  try:
    problem, _ = problems.resolve(name)
  except KeyError as error:
    raise UserError(f"no task {name!r}: {nearest(name, problems.names())}") from error
  option_names = ["size", *list(inspect.signature(problem.draw).parameters)[2:]]
  option_names.remove("length")
  with raised_as(UserError):
    registry.check_options(options, option_names, f"task {name!r}")
  with raised_as(UserError, f"task {name!r}: "):
    ranges.check_word(options.get("size", "cpu"), "size", problem.SIZES)
  return Problem(name, tuple(sorted(options.items())))


class Episodes:
  """The examples of a split, by number; `episodes[numbers]` is `Examples`.

  Attributes:
    task: the task of the examples.
    length: T, tokens of an example.
    seed: the seed of the examples, >= 0.
    split: one of `SPLITS`.
  """

  def __init__(self, task: Problem, length: int, seed: int, split: str):
    """Draws the first block, to find early what cannot be drawn.

    Raises:
      UserError: if the task has no such examples.
    """
    self.task, self.length, self.seed, self.split = task, length, seed, split
    # threads that read ahead may be in several blocks at once
    self._block = functools.lru_cache(maxsize=16)(self._draw)
    self._block(0)

  def __getitem__(self, numbers: Sequence[int] | np.ndarray) -> Examples:
    numbers = np.asarray(numbers)
    rows = [[a[n % BLOCK] for a in self._block(int(n) // BLOCK)] for n in numbers]
    tokens, targets, weights = zip(*rows, strict=True)  # each a list of [T]
    return Examples(np.stack(tokens), np.stack(targets), np.stack(weights))

  def ids(self, numbers: Sequence[int]) -> list[str]:
    """Returns the names of examples: equal names mean equal examples."""
    head = f"{self.task}/{self.length}/{self.seed}/{self.split}"
    return [f"{head}/{n}" for n in numbers]

  def _draw(self, block: int) -> Examples:
    """Draws examples until `BLOCK` of them are of the split."""
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), block])
    parts, num_in_split = [], 0
    for _ in range(MOST_DRAWS):
      examples = self.task.draw(rng, BLOCK, self.length)
      in_split = np.array([split_of(row) == self.split for row in examples.tokens])
      parts.append([a[in_split] for a in examples])
      num_in_split += in_split.sum()
      if num_in_split >= BLOCK:
        arrays = [np.concatenate(p)[:BLOCK] for p in zip(*parts, strict=True)]
        tokens, targets, weights = arrays  # [BLOCK, T]
        return Examples(tokens, targets, weights)
    raise UserError(
      f"task {self.task} of length {self.length} has too few different examples for a "
      f"{self.split} split: make it longer"
    )


def split_of(tokens: np.ndarray) -> str:
  """Returns the split of an example with these tokens."""
  # a checksum is the same in every process and version, where `hash` is not
  test = zlib.crc32(np.ascontiguousarray(tokens).tobytes()) % TEST_SHARE == 0
  return SPLITS[test]


def example_rows(
  episodes: Episodes, batch_size: int, process: tuple[int, int] = (0, 1)
) -> Rows:
  """Returns the batch of every step, as `data.Lanes` has it; a row is an example.

  Every row begins a document, so memory starts empty. Example `step * batch_size + row`
  is read once. The name of the tokenizer is the task as text, which names the
  vocabulary.

  Args:
    episodes: the examples.
    batch_size: rows of a step over all processes.
    process: (index, count): which part of how many parts of the rows is read.
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
