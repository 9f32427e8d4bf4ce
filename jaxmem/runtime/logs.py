"""The log of a run: its writers, and the rows that every step read."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxmem.runtime.writers import (
  BestEffort,
  JsonLines,
  TensorBoard,
  WeightsAndBiases,
  Writer,
)


class Log:
  """Passes what a run has to show to its writers, and row ids to the data log.

  The writers are `metrics.jsonl`, TensorBoard, and Weights & Biases where it is asked
  for. The data log is `ledger.jsonl`: it shows which rows every step read. A context
  manager: an error that leaves it marks the run as failed where a writer can say so.
  """

  def __init__(
    self, workdir: str | Path, primary: bool = True, wandb_project: str = ""
  ):
    """Opens the writers; only the primary process has any.

    Args:
      workdir: the work directory.
      primary: whether this is the primary process.
      wandb_project: a project of Weights & Biases; empty writes none.

    Raises:
      ConfigError: if Weights & Biases does not start.
    """
    workdir = Path(workdir)
    self._writers: list[Writer] = []
    self._data_log = None
    if not primary:
      return
    self._data_log = JsonLines(workdir / "ledger.jsonl")
    self._writers = [
      JsonLines(workdir / "metrics.jsonl"),
      BestEffort("TensorBoard", lambda: TensorBoard(workdir / "tensorboard")),
    ]
    if wandb_project:
      start = functools.partial(WeightsAndBiases, workdir, wandb_project)
      self._writers.append(BestEffort("Weights & Biases", start))

  def config(self, values: Mapping[str, Any]) -> None:
    """Logs the config of the run."""
    for writer in self._writers:
      writer.config(values)

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Logs the numbers of a step.

    Raises:
      RunError: if the disk refuses the line of `metrics.jsonl`.
    """
    for writer in self._writers:
      writer.scalars(step, values)

  def report(
    self, step: int, scores: Mapping[str, float], pictures: Mapping[str, Path]
  ) -> None:
    """Logs the scores and the pictures at the end of a run.

    Args:
      step: the last step.
      scores: name -> score.
      pictures: name -> path of a PNG.
    """
    for writer in self._writers:
      writer.scores(step, scores)
      writer.pictures(step, pictures)

  def rows(self, step: int, rows: Any) -> None:
    """Logs the ids of the rows that a step read.

    Raises:
      RunError: if the disk refuses the line.
    """
    if self._data_log:
      self._data_log.line({"step": step, "rows": [int(rows[0]), int(rows[-1])]})

  def close(self, failed: bool = False) -> None:
    """Closes all writers.

    Args:
      failed: whether an error ends the run.
    """
    for writer in filter(None, [*self._writers, self._data_log]):
      writer.close(failed)

  def __enter__(self) -> "Log":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    self.close(failed=kind is not None)


def key_of(measure: str) -> str:
  """Returns the name of a measure in a log: "bits_per_byte" of "bits/byte"."""
  return measure.replace("/", "_per_").replace(" ", "_")
