"""Validation during a run: held-out scores, the best checkpoint, early stopping."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.parallel import distributed
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.tasks import Task
from jaxmem.training.config import ValidationConfig


class Best(NamedTuple):
  """The best held-out score so far, which is saved with the state.

  Attributes:
    bits_per_byte: float32, see `Task.validation_metric`, whatever its unit: checkpoints
      keep the name. 0 before the first.
    step: int32, the step that was scored; 0 before the first.
    waited: int32, how many scores since then were not better.
  """

  bits_per_byte: jax.Array
  step: jax.Array
  waited: jax.Array


def none_yet() -> Best:
  """Returns the record before the first score."""
  return Best(
    bits_per_byte=jnp.zeros((), jnp.float32),
    step=jnp.zeros((), jnp.int32),
    waited=jnp.zeros((), jnp.int32),
  )


class Validation:
  """Scores the weights every `config.every` steps and keeps the best.

  The best state is on disk before the step's own checkpoint is written, so what a
  checkpoint records as the best can always be read.
  """

  def __init__(self, config: ValidationConfig, task: Task, best: Checkpoints):
    self._config, self._task, self._checkpoints = config, task, best

  def due(self, step: int) -> bool:
    """Whether this step is scored."""
    return bool(self._config.every) and step % self._config.every == 0

  def exhausted(self, best: Best) -> bool:
    """Whether none of the last `patience` scores was better than all before it."""
    return bool(self._config.patience) and int(best.waited) >= self._config.patience

  def score(self, weights) -> float:
    """Returns the held-out score; several processes get the same float32.

    Args:
      weights: the parameters to score, sharded over the devices.
    """
    # a collective, so every process takes part; one of them scores
    weights, score = distributed.local(weights), 0.0
    if distributed.primary():
      score = self._task.validation_metric(weights)
    return float(distributed.said_by_first(score))

  def compare(self, score: float, step: int, best: Best) -> tuple[Best, bool]:
    """Compares a score with the best before it, which is kept in float32.

    A score that is NaN or infinite is never the best; patience counts it.

    Args:
      score: the new score; lower is better.
      step: the step after which it was measured.
      best: the best before it.

    Returns:
      The best after this score, and whether it is this score.
    """
    score = np.float32(score)
    # `not <` and not `>=`: a score that is NaN compares false with everything
    beaten = int(best.step) and not score < float(best.bits_per_byte)
    if beaten or not np.isfinite(score):
      waited = np.int32(int(best.waited) + 1)
      return Best(np.float32(best.bits_per_byte), np.int32(best.step), waited), False
    return Best(score, np.int32(step), np.int32(0)), True

  def keep(self, step: int, save) -> None:
    """Writes the best state, and waits until it is on disk.

    A run that was killed after this step comes here again with the same state.

    Args:
      step: the step of the state.
      save: `checkpoints -> None`, starts the writing.
    """
    if step not in self._checkpoints.steps():
      save(self._checkpoints)
      # the step's own checkpoint, which refers to this one, must not be written first
      self._checkpoints.wait()
