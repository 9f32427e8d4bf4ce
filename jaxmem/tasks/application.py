"""The base of tasks with a metric of their own: splits, report and provenance."""

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmem.core import files, finite
from jaxmem.core.errors import UserError
from jaxmem.data import leaks
from jaxmem.runtime import markdown
from jaxmem.tasks import plots
from jaxmem.tasks.base import EvalResult, Report, TaskContext
from jaxmem.tokenizers import Tokenizer, trained


class BaseTask(abc.ABC):
  """Base of tasks with a metric of their own, which they define by `compute_metrics`.

  See `tasks.EvaluableTask`.

  Attributes:
    splits: names of the splits that can be scored.
    reported: the split that the report at the end scores.
    noun: the word for records in messages.
    metric_name: see `tasks.Task`.
    tested: whether the test split differs from the held-out split.
    repeats: equal records that were found in several splits.
  """

  splits: tuple[str, ...] = ("train", "heldout", "test")
  reported = "test"
  noun = "texts"
  metric_name: str
  tested: bool = True
  repeats: leaks.Repeats = leaks.NONE
  _context: TaskContext
  # the tokenizer that the run trained on its own text, if any
  _made: Tokenizer | None = None

  @abc.abstractmethod
  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns the metric on a split.

    Args:
      params: the model's parameters.
      split: one of `splits`.
    """

  def to_metric(self, loss: float) -> float:
    """Returns the loss unchanged: nats are the metric."""
    return loss

  def save_assets(self, workdir: Path) -> None:
    """Saves the tokenizer if the run trained it."""
    if self._made:
      trained.keep(self._made, workdir)

  def evaluate(self, params: Any, split: str) -> EvalResult:
    """Returns the metric on a split, with the provenance of the split.

    Args:
      params: the model's parameters.
      split: one of `splits`.

    Raises:
      UserError: if there is no such split.
    """
    if split not in self.splits:
      raise UserError(
        f"no split {split!r} of {self.noun}: one of {', '.join(self.splits)}"
      )
    result = self.compute_metrics(params, split)
    note, numbers = provenance(self._context, split, self.tested, self.repeats)
    # the first line names the winner of a comparison and stays first
    lines = [*result.lines[:1], *(["", *note] if note else []), *result.lines[1:]]
    return result._replace(numbers=result.numbers | numbers, lines=lines)

  def report(self, params: Any, workdir: Path) -> Report:
    """Writes `report.json`, `report.md` and pictures at the end of a run."""
    log, numbers, pictures = workdir / "metrics.jsonl", {}, []
    curve = plots.loss_curve(log, workdir / "loss.png", measure=self.metric_name)
    if self._context.eval_size:
      result = self.evaluate(params, self.reported)
      write(result, workdir / "report.json", [curve.name])
      numbers = finite.plain(result.numbers)
      pictures = [workdir / name for name in result.pictures]
    else:
      text = ["eval_bytes is 0: nothing was scored.", *markdown.pictures([curve.name])]
      files.write_text(workdir / "report.md", "\n".join(text) + "\n")
    return Report.of(numbers, [curve, *pictures])


def provenance(
  context: TaskContext, split: str, tested: bool, repeats: leaks.Repeats
) -> tuple[list[str], dict[str, Any]]:
  """Returns what qualifies a score: whether its split chose the checkpoint.

  Args:
    context: context of the run.
    split: the split that is scored.
    tested: whether the test split differs from the held-out split.
    repeats: equal records that were found in several splits.

  Returns:
    Lines of the report, which are empty unless the split is the held-out one, and the
    numbers "test_split", "chose_checkpoint" and "equal_records" for JSON.
  """
  is_heldout = split == "heldout" or (split == "test" and not tested)
  chose_checkpoint = is_heldout and context.selects_checkpoint
  numbers = {
    "test_split": tested,
    "chose_checkpoint": chose_checkpoint,
    "equal_records": repeats.numbers(),
  }
  if not is_heldout:
    return [], numbers
  # without a test split "test" is the held-out part, whose score is optimistic
  subject = "This" if tested else "No separate test split was given: this"
  interval = context.validate_every
  if chose_checkpoint:
    effect = "chose the best checkpoint."
  elif interval:
    effect = f"chose no checkpoint: validation.every is {interval}, beyond the run."
  else:
    effect = "chose no checkpoint: validation.every is 0."
  return [f"{subject} is the score of the held-out part, which {effect}"], numbers


def write(result: EvalResult, out: Path, pictures: Sequence[str] = ()) -> None:
  """Writes a result and prints it.

  Args:
    result: the result on a split.
    out: the file for the numbers, as JSON; the table NAME.md and the pictures are
      written to the same directory.
    pictures: names of further pictures there, which NAME.md shows too.
  """
  lines = result.lines + finite.report_lines(result.numbers)
  result = result._replace(numbers=finite.plain(result.numbers), lines=lines)
  shown = markdown.pictures([*result.pictures, *pictures])
  files.write_text(out.with_suffix(".md"), "\n".join(result.lines + shown) + "\n")
  files.write_json(out, result.numbers)
  for file, draw in result.pictures.items():
    with files.replacing(out.with_name(file)) as temporary:
      draw(temporary)
  # printed last: a closed pipe raises here, after everything is written
  print("\n".join(result.lines), flush=True)
