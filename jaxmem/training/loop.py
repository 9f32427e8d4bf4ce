"""The training loop: steps, logs, validation, checkpoints."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from jaxmem import data
from jaxmem.parallel.distributed import say
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.runtime.compilation import compiling
from jaxmem.runtime.logs import Log
from jaxmem.runtime.signals import Stop
from jaxmem.tasks import Task
from jaxmem.training import config as configs
from jaxmem.training.callbacks import Callback
from jaxmem.training.skips import End, count_skips
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program
from jaxmem.training.validation import Validation


@dataclasses.dataclass
class Loop:
  """The training loop of a run, with all that it needs besides the state.

  Attributes:
    program: the compiled step.
    task: the task, with its batches and its score.
    log: where numbers are written.
    latest: the checkpoints that the run resumes from.
    validation: held-out scores, and the best checkpoint.
    stop: whether a signal has asked the run to stop.
    callbacks: the callbacks; the trainer's own log is first.
  """

  program: Program
  task: Task
  log: Log
  latest: Checkpoints
  validation: Validation
  stop: Stop
  callbacks: Sequence[Callback]

  def run(self, state: TrainState, start: int) -> End:
    """Makes steps until the end of the run or a signal.

    A checkpoint is written only if the last step was not skipped, so a run never
    resumes from a state after which every step is skipped.

    Args:
      state: the state to begin from; donated.
      start: how many steps it has made.

    Raises:
      TrainingError: if too many steps in a row were skipped.
    """
    config, validation = self.program.config, self.validation
    # metrics of the steps whose numbers have not been fetched from the device
    step, skipped, pending = start, 0, []
    stop_early = config.validation.every and validation.should_stop(state.best)
    with contextlib.closing(data.batches(self.task.rows, start)) as batches:
      while step < config.steps and not stop_early:
        batch = next(batches)
        self.log.rows(step, batch["rows"])
        with compiling("the training step"):
          state, metrics = self.program.step(state, self.program.put(batch))
        pending.append(metrics)
        step += 1
        log_now = step % config.log_every == 0 or step == config.steps
        save_now = step % config.save_every == 0
        if log_now or save_now:
          skipped, pending = self._notify(step, pending, skipped), []
        if log_now:
          self.latest.check()  # a save that failed, on a full disk say, raises now
        if validation.due(step):
          state = self._validate(step, state)
          stop_early = validation.should_stop(state.best)
        if save_now and not skipped:
          self.save(self.latest, step, state)
        if self.stop.after(step):
          break
    skipped = self._notify(step, pending, skipped)
    if stop_early:
      say(
        f"stopped early at step {step}: the last {config.validation.patience} scores "
        "of held-out text were not better than one before"
      )
    return End(state, step, bool(stop_early) or step >= config.steps, skipped)

  def _notify(self, step: int, pending: list[dict], skipped: int) -> int:
    """Calls the callbacks; returns how many of the last steps in a row were skipped.

    Raises:
      TrainingError: if they are too many.
    """
    fetched = jax.device_get(pending)  # the only wait for the device
    skipped = count_skips(fetched, skipped, step, self.program.config)
    for i, metrics in enumerate(fetched, step - len(fetched) + 1):
      numbers = {name: value.item() for name, value in metrics.items()}
      for callback in self.callbacks:
        callback.on_step(i, numbers)
    return skipped

  def _validate(self, step: int, state: TrainState) -> TrainState:
    """Scores held-out data; of the state only `best` changes."""
    score = self.validation.score(self.program.weights_of(state))
    previous = float(state.best.bits_per_byte) if int(state.best.step) else None
    best, is_best = self.validation.compare(score, step, state.best)
    best = jax.device_put(best, self.program.shardings.best)
    state = state._replace(best=best)
    if is_best:
      self.validation.keep(
        step, lambda checkpoints: self.save(checkpoints, step, state)
      )
    for callback in self.callbacks:
      callback.on_validation(step, score, previous)
    return state

  def save(self, checkpoints: Checkpoints, step: int, state: Any) -> None:
    """Starts to write the state, the position in the data and the config.

    Args:
      checkpoints: the checkpoints to write to.
      step: how many steps the state has made.
      state: the state.
    """
    tokenizer, fingerprint = self.task.rows.tokenizer, self.task.rows.fingerprint
    position = {"step": step, "fingerprint": fingerprint, "tokenizer": tokenizer}
    meta = {
      "config": configs.to_json(self.program.config),
      "jax": jax.__version__,
      "workdir": str(checkpoints.directory.parent),
    }
    checkpoints.save(step, state, position, meta)
