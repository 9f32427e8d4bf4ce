"""What the applications share: their splits, their report, and how they are asked."""

import abc
from pathlib import Path
from typing import Any

from jaxmem.core import files, finite
from jaxmem.core.errors import UserError
from jaxmem.data import leaks
from jaxmem.tasks import plots
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tokenizers import Tokenizer, trained


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
  _context: TaskContext
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
    note, numbers = provenance(self._context, split, self.tested, self.repeats)
    lines = [*found.lines[:1], *(["", *note] if note else []), *found.lines[1:]]
    return found._replace(numbers=found.numbers | numbers, lines=lines)

  def report(self, params: Any, workdir: Path) -> None:
    """The end of a run: `report.json`, `report.md` and pictures."""
    if self._context.eval_size:
      write(self.evaluate(params, self.reported), workdir / "report.json")
    log = workdir / "metrics.jsonl"
    plots.loss_curve(log, workdir / "loss.png", measure=self.measure)


def provenance(
  context: TaskContext, split: str, tested: bool, repeats: leaks.Repeats
) -> tuple[list[str], dict[str, Any]]:
  """What a score must be read with: whether its split chose the checkpoint.

  Args:
    context: of the run.
    split: that is scored.
    tested: whether the test split is another than the one that is held out.
    repeats: what was found when the data were parted.

  Returns:
    A sentence for the report if the score is of what is held out, else none; and
    numbers for JSON, "test_split", "chose_checkpoint" and "equal_records".
  """
  heldout = split == "heldout" or (split == "test" and not tested)
  chose = heldout and context.chooses
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
  elif every := context.validate_every:
    then = f"chose no checkpoint: validation.every is {every}, beyond the run."
  else:
    then = "chose no checkpoint: validation.every is 0."
  return [f"{first} is the score of the held-out part, which {then}"], numbers


def write(findings: Findings, out: Path) -> None:
  """Writes findings and prints them.

  Args:
    findings: of a split.
    out: the file for the numbers, as JSON; the table NAME.md and the pictures stand
      beside it.
  """
  lines = findings.lines + finite.said(findings.numbers)
  findings = findings._replace(numbers=finite.plain(findings.numbers), lines=lines)
  files.write_text(out.with_suffix(".md"), "\n".join(findings.lines) + "\n")
  files.write_json(out, findings.numbers)
  for file, draw in findings.pictures.items():
    with files.replacing(out.with_name(file)) as temporary:
      draw(temporary)
  # last: who reads the output may have left
  print("\n".join(findings.lines), flush=True)
