"""What a run tells those who listen: a small protocol, and the trainer's own log.

class Losses(Callback):
  def on_step(self, step, metrics):
    print(step, metrics["loss"])

train(config, workdir, callbacks=[Losses()])
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from jaxmem.parallel.distributed import primary, say
from jaxmem.runtime.logs import Log, Progress, key_of
from jaxmem.tasks import Job
from jaxmem.training.config import Config


@runtime_checkable
class Callback(Protocol):
  """Listens to a run, in every process of it. What a method raises ends the run.

  A class that inherits from it defines the methods that it needs; the others do
  nothing.
  """

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    """A step has been made; every one is told, in order.

    It is told when its numbers have come from the device, every `log_every` and
    `save_every` steps, so that listening costs no wait.

    Args:
      step: how many steps the run has made with it.
      metrics: its "loss", "grad_norm" and "learning_rate", and whether it was
        "skipped".
    """

  def on_validation(self, step: int, score: float, best: float | None) -> None:
    """Held-out data has been scored.

    Args:
      step: behind which.
      score: see `tasks.Job.score`; lower is better.
      best: the best score before; None if there was none.
    """

  def on_end(self, step: int, complete: bool) -> None:
    """The loop has ended.

    Args:
      step: the last.
      complete: whether the run is at its end, not stopped by a signal.
    """


class Report(Callback):
  """The means of every `log_every` steps, and scores: to the log and the terminal."""

  def __init__(self, config: Config, job: Job, log: Log, start: int):
    """Listens to a run.

    Args:
      config: of the run.
      job: its measure.
      log: where numbers go.
      start: the step that the run continues from.
    """
    tokens = config.task.batch_size * config.task.segment_length
    self._progress = Progress(start, config.steps, tokens, job.measure, primary())
    self._config, self._job, self._log, self._metrics = config, job, log, []

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    self._metrics.append(metrics)
    if step % self._config.log_every and step != self._config.steps:
      return
    interval, self._metrics = self._metrics, []
    good = [m["loss"] for m in interval if not m["skipped"]]
    loss = float(np.mean(good or [np.nan]))
    value, rate = self._job.value(loss), metrics["learning_rate"]
    numbers = {
      "loss": loss,
      "grad_norm": metrics["grad_norm"],
      "learning_rate": rate,
      key_of(self._job.measure): value,
      "skipped": sum(int(m["skipped"]) for m in interval),
      "tokens_per_second": self._progress.update(step, loss, value, rate),
    }
    self._log.scalars(step, numbers)

  def on_validation(self, step: int, score: float, best: float | None) -> None:
    measure = self._job.measure
    self._log.scalars(step, {f"heldout_{key_of(measure)}": score})
    # the best is kept in float32, and compared in it
    if np.isfinite(score) and (best is None or np.float32(score) < best):
      known = "the best so far"
    elif best is not None:
      known = f"best {best:.3f}"
    else:
      known = "none is finite so far"
    say(f"step {step:>6}  held out {score:.3f} {measure}, {known}")

  def on_end(self, step: int, complete: bool) -> None:
    self._progress.close()
