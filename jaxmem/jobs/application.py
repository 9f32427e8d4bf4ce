"""What the applications share: their splits, their report, and how they are asked."""

import abc
from pathlib import Path
from typing import Any

from jaxmem import jobs
from jaxmem.config import Config
from jaxmem.data import vocabularies
from jaxmem.data.tokenizers import Tokenizer
from jaxmem.errors import UserError
from jaxmem.evals import plots
from jaxmem.jobs import Findings


class Asked(abc.ABC):
  """A job whose metric is its field's own; it adds `findings`. See `jobs.Application`.

  Attributes:
    splits: that it can be asked for.
    reported: the split that the report at the end is of.
    things: what a split has, for messages.
    measure: see `jobs.Job`.
  """

  splits: tuple[str, ...] = ("train", "heldout", "test")
  reported = "test"
  things = "texts"
  measure: str
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
      vocabularies.keep(self._made, workdir)

  def evaluate(self, params: Any, split: str) -> Findings:
    """The metric on a split.

    Raises:
      UserError: if there is no such split.
    """
    if split not in self.splits:
      raise UserError(
        f"no split {split!r} of {self.things}: one of {', '.join(self.splits)}"
      )
    return self.findings(params, split)

  def report(self, params: Any, workdir: Path) -> None:
    """The end of a run: `report.json`, `report.md` and pictures."""
    if self._config.eval_bytes:
      jobs.write(self.evaluate(params, self.reported), workdir, "report")
    log = workdir / "metrics.jsonl"
    plots.loss_curve(log, workdir / "loss.png", measure=self.measure)
