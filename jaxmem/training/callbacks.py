"""Callbacks of a training run: a small protocol, and the trainer's own log.

A callback is a subclass that defines the methods it needs:

    class Losses(Callback):
      def on_step(self, step, metrics):
        print(step, metrics["loss"])

    train(config, workdir, callbacks=[Losses()])
"""

import sys
import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from jaxmem.core.progress import Progress
from jaxmem.parallel.distributed import primary, say
from jaxmem.runtime.logs import Log, key_of
from jaxmem.tasks import Task
from jaxmem.training.config import Config


@runtime_checkable
class Callback(Protocol):
  """Listens to a run, in every process of it; an exception that it raises ends the run.

  A subclass defines the methods that it needs; the others do nothing.
  """

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    """Called for every step, in order.

    The calls for several steps come together, every `log_every` and `save_every` steps,
    when their numbers have arrived: a callback adds no wait for the device.

    Args:
      step: how many steps the run has made, this one included.
      metrics: the step's "loss", "grad_norm" and "learning_rate", and whether it was
        "skipped".
    """

  def on_validation(self, step: int, score: float, best: float | None) -> None:
    """Called after each score of held-out data.

    Args:
      step: the step after which it was scored.
      score: see `tasks.Task.validation_metric`; lower is better.
      best: the best score before this one; None if there was none.
    """

  def on_end(self, step: int, complete: bool) -> None:
    """Called once, when the loop has ended.

    Args:
      step: the last step that was made.
      complete: False if a signal stopped the run before its end.
    """


class TrainingLog(Callback):
  """Writes means over `log_every` steps, and scores, to the log and the terminal."""

  def __init__(self, config: Config, task: Task, log: Log, start: int):
    """Makes the callback; it prints in the primary process alone.

    Args:
      config: the config of the run.
      task: gives the metric's name and its value.
      log: where numbers are written.
      start: the step that the run continues from.
    """
    self._tokens = config.task.batch_size * config.task.segment_length
    self._progress = Progress(
      config.steps,
      "step",
      done=start,
      every_update=True,
      file=sys.stdout,
      show=primary(),
    )
    self._time = time.monotonic()
    self._config, self._task, self._log, self._metrics = config, task, log, []

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    """Collects the metrics, and writes their means at the end of an interval."""
    self._metrics.append(metrics)
    # the last interval ends with the run, and may be shorter
    if step % self._config.log_every and step != self._config.steps:
      return
    interval, self._metrics = self._metrics, []
    # the loss of a skipped step may be NaN, and would hide those of the others
    losses = [m["loss"] for m in interval if not m["skipped"]]
    loss = float(np.mean(losses or [np.nan]))
    value, rate = self._task.to_metric(loss), metrics["learning_rate"]
    now = time.monotonic()
    # two calls may fall into one tick of the clock
    speed = len(interval) * self._tokens / max(now - self._time, 1e-9)
    self._time = now
    texts = (
      f"loss {loss:.3f}",
      f"{value:.3f} {self._task.metric_name}",
      f"saves at {next_save(self._config, step)}",
      f"rate {rate:.2e}",
      f"{speed:,.0f} tokens/s",
    )
    self._progress.update(step, ", ".join(texts))
    numbers = {
      "loss": loss,
      "grad_norm": metrics["grad_norm"],
      "learning_rate": rate,
      key_of(self._task.metric_name): value,
      "skipped": sum(int(m["skipped"]) for m in interval),
      "tokens_per_second": speed,
    }
    self._log.scalars(step, numbers)

  def on_validation(self, step: int, score: float, best: float | None) -> None:
    """Writes the score, and how it compares with the best before."""
    metric = self._task.metric_name
    self._log.scalars(step, {f"heldout_{key_of(metric)}": score})
    # the best is kept in float32: compare in float32
    if np.isfinite(score) and (best is None or np.float32(score) < best):
      comparison = "the best so far"
    elif best is not None:
      comparison = f"best {best:.3f}"
    else:
      comparison = "none is finite so far"
    say(f"step {step:>6}  held out {score:.3f} {metric}, {comparison}")

  def on_end(self, step: int, complete: bool) -> None:
    """Closes the progress bar."""
    self.close()

  def close(self) -> None:
    """Closes the progress bar, also of a run that an error ends."""
    self._progress.close()


def next_save(config: Config, step: int) -> int:
  """Returns the step after which the next checkpoint is written.

  Args:
    config: the config of the run.
    step: how many steps it has made.
  """
  return min((step // config.save_every + 1) * config.save_every, config.steps)
