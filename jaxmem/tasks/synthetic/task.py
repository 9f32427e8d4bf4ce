"""Synthetic tasks: examples that test a memory, scored in bits and accuracy."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from jaxmem.core import files, finite
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number
from jaxmem.models import capacity
from jaxmem.models.lm import LMConfig
from jaxmem.runtime import markdown
from jaxmem.tasks import TASK, plots
from jaxmem.tasks.base import Report, TaskContext
from jaxmem.tasks.model_sizes import with_vocab
from jaxmem.tasks.synthetic import episodes
from jaxmem.tasks.synthetic.accuracy import Accuracy, Examiner
from jaxmem.tasks.synthetic.episodes import Episodes, Problem, example_rows

# Multiples of the trained length that a run is tested at when it ends.
MULTIPLES = (1, 2, 4, 8, 16)
# At least so many examples of each length are tested.
LEAST = 64


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """A synthetic task, whose examples are drawn anew at every step.

  Attributes:
    source: `task:NAME:OPTION=VALUE`, where NAME is a file of
      `tasks.synthetic.problems`.
    segment_length: T, tokens of an example.
    batch_size: examples of a step, over all processes.
  """

  source: str = f"{TASK}copy"
  segment_length: int = number(256, at_least=1)
  batch_size: int = number(16, at_least=1)


def of(config: SyntheticConfig) -> Problem:
  """Returns the task of a source `task:NAME:OPTION=VALUE`.

  Raises:
    UserError: if there is no such task; the message names the nearest.
  """
  return episodes.parse(config.source.removeprefix(TASK))


def resolve_model(model: LMConfig, config: SyntheticConfig) -> LMConfig:
  """Returns the model's config with the task's vocabulary.

  Raises:
    UserError: if there is no such task, or the config has a smaller vocabulary.
  """
  return with_vocab(model, of(config).vocab_size, config.source)


class SyntheticTask:
  """Examples of a task of `segment_length` tokens; see `tasks.Task`.

  The numbers of held-out bytes in the config count tokens of the test split here.
  """

  metric_name = "bits/answer"

  def __init__(self, config: SyntheticConfig, context: TaskContext, model: Any):
    """Draws the first examples, to find early what cannot be drawn.

    Raises:
      UserError, CapacityError: before any device work.
    """
    self._config, self._context, self._task = config, context, of(config)
    length = config.segment_length
    train = self._episodes("train", length)
    process = context.process
    self.rows = example_rows(train, config.batch_size, process)
    self._test = self._episodes("test", length)
    self._examiner = Examiner(model)
    self._limit = capacity.limit_of(model.config)
    if self._limit:
      # only the trained length has to fit; the report leaves longer ones out
      self._limit.check(length, f"an example of {self._task}", "lower segment_length")

  def _episodes(self, split: str, length: int) -> Episodes:
    return Episodes(self._task, length, self._context.seed, split)

  def describe(self) -> str:
    """Returns the task and its number of answers, in words."""
    answers = self._test[[0]].weights.sum()
    return f"task {self._task}, about {answers:.0f} answers an example"

  def to_metric(self, loss: float) -> float:
    """Returns a loss, in nats an answer, as bits."""
    return loss / math.log(2)

  def save_assets(self, workdir: Path) -> None:
    """Does nothing, since the config determines the task."""

  def validation_metric(self, params: Any) -> float:
    """Returns the bits an answer on the test split."""
    tokens = self._context.validation_size
    return self._accuracy(params, self._test, tokens).bits

  def report(self, params: Any, workdir: Path) -> Report:
    """Writes `report.json`, `report.md` and `loss.png`: accuracy at all `MULTIPLES`."""
    accuracies, left_out = self._by_length(params)
    chose = self._context.selects_checkpoint
    note = "The best checkpoint was chosen by examples of this split."
    lines = [
      f"Test split of {self._task}",
      "",
      *([note, ""] if chose else []),
      "| length | examples | answers right | examples right | bits an answer |",
      "|--:|--:|--:|--:|--:|",
      *map(_row, accuracies),
      *(f"\nLength {length} is left out: {why}" for length, why in left_out.items()),
      *finite.said([a.plain() for a in accuracies]),
    ]
    # the first is the trained length, the one that the curve of the loss belongs to
    bits = accuracies[0].bits if accuracies else None
    curve = plots.loss_curve(
      workdir / "metrics.jsonl", workdir / "loss.png", bits, measure=self.metric_name
    )
    print("\n".join(lines), flush=True)
    shown = markdown.pictures(["loss.png"])
    files.write_text(workdir / "report.md", "\n".join(lines + shown) + "\n")
    plain = finite.plain([a.plain() for a in accuracies])
    numbers = {"task": str(self._task), "accuracy": plain, "chose_checkpoint": chose}
    files.write_json(workdir / "report.json", numbers)
    by_length = {f"length_{numbers['length']}": numbers for numbers in plain}
    return Report.of(by_length, [curve])

  def _by_length(self, params: Any) -> tuple[list[Accuracy], dict[int, str]]:
    """Returns the accuracy at each length, and why other lengths are left out."""
    accuracies, left_out = [], {}
    if not self._context.eval_size:
      return accuracies, left_out
    for times in MULTIPLES:
      length = times * self._config.segment_length
      try:
        if self._limit:
          example = f"an example of length {length}"
          self._limit.check(length, example, "ask for less")
        test = self._episodes("test", length)
      except UserError as error:  # a memory or a task may not reach the longest
        left_out[length] = str(error)
        continue
      accuracies.append(self._accuracy(params, test, self._context.eval_size))
    return accuracies, left_out

  def _accuracy(self, params: Any, test: Episodes, tokens: int) -> Accuracy:
    # long examples are few, and fewer than LEAST would measure noise
    return self._examiner.accuracy(params, test, max(tokens // test.length, LEAST))


def _row(a: Accuracy) -> str:
  numbers = f"{a.answers:.3f} | {a.whole:.3f} | {a.bits:.3f}"
  return f"| {a.length} | {a.examples} | {numbers} |"


Config = SyntheticConfig
Task = SyntheticTask
