"""What the applications share: their splits, their report, and how they are asked."""

import abc
from pathlib import Path
from typing import Any

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.data import leaks
from jaxmem.tasks import Findings, plots
from jaxmem.tokenizers import Tokenizer, trained
from jaxmem.training.config import Config


class Asked(abc.ABC):
  """A job whose metric is its field's own; it adds `findings`. See `tasks.Application`.

  Attributes:
    splits: that it can be asked for.
    reported: the split that the report at the end is of.
    things: what a split has, for messages.
    measure: see `tasks.Job`.
    tested: whether the test split is another than the one that is held out.
    repeats: equal records that were found between the splits.
  """

  splits: tuple[str, ...] = ("train", "heldout", "test")
  reported = "test"
  things = "texts"
  measure: str
  tested: bool = True
  repeats: leaks.Repeats = leaks.NONE
  _config: Config
  # the tokenizer that the run may have made of its own text
  _made: Tokenizer | None = None

  @abc.abstractmethod
  def findings(self, params: Any, split: str) -> Findings:
    """The metric on one of `splits`."""

  def value(self, loss: float) -> float:
    """The loss as it is."""
    return loss

  def keep(self, workdir: Path) -> None:
    """The tokenizer, if it was made."""
    if self._made:
      trained.keep(self._made, workdir)

  def evaluate(self, params: Any, split: str) -> Findings:
    """The metric on a split, and what the split is: whether it chose the checkpoint,
    and how many records it had in common with others.

    Raises:
      UserError: if there is no such split.
    """
    if split not in self.splits:
      raise UserError(
        f"no split {split!r} of {self.things}: one of {', '.join(self.splits)}"
      )
    found = self.findings(params, split)
    note, numbers = provenance(self._config, split, self.tested, self.repeats)
    lines = [*found.lines[:1], *(["", *note] if note else []), *found.lines[1:]]
    return found._replace(numbers=found.numbers | numbers, lines=lines)

  def report(self, params: Any, workdir: Path) -> None:
    """The end of a run: `report.json`, `report.md` and pictures."""
    if self._config.eval_bytes:
      tasks.write(self.evaluate(params, self.reported), workdir / "report.json")
    log = workdir / "metrics.jsonl"
    plots.loss_curve(log, workdir / "loss.png", measure=self.measure)


def provenance(
  config: Config, split: str, tested: bool, repeats: leaks.Repeats
) -> tuple[list[str], dict[str, Any]]:
  """What a score must be read with: whether its split chose the checkpoint.

  Args:
    config: of the run.
    split: that is scored.
    tested: whether the test split is another than the one that is held out.
    repeats: what was found when the data were parted.

  Returns:
    A sentence for the report if the score is of what is held out, else none; and
    numbers for JSON, "test_split", "chose_checkpoint" and "equal_records".
  """
  every = config.validation.every
  heldout = split == "heldout" or (split == "test" and not tested)
  chose = heldout and 0 < every <= config.steps
  numbers = {
    "test_split": tested,
    "chose_checkpoint": chose,
    "equal_records": repeats.numbers(),
  }
  if not heldout:
    return [], numbers
  first = "This" if tested else "No separate test split was given: this"
  if chose:
    then = "chose the best checkpoint."
  elif every:
    then = f"chose no checkpoint: validation.every is {every}, beyond the run."
  else:
    then = "chose no checkpoint: validation.every is 0."
  return [f"{first} is the score of the held-out part, which {then}"], numbers
