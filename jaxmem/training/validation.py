"""Held-out scores while a run goes: the best checkpoint, and when it is enough."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.parallel import distributed
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.tasks import Job
from jaxmem.training.config import ValidationConfig


class Best(NamedTuple):
  """The best held-out score so far; part of the state, so a resumed run knows it.

  Attributes:
    bits_per_byte: float32, see `Job.score`, whatever its measure: checkpoints keep
      the name. 0 before the first.
    step: int32, where it was; 0 before the first.
    waited: int32, scores since then that were not better.
  """

  bits_per_byte: jax.Array
  step: jax.Array
  waited: jax.Array


def none_yet() -> Best:
  """Before the first score."""
  return Best(jnp.zeros((), jnp.float32), *[jnp.zeros((), jnp.int32)] * 2)


class Validation:
  """Scores the weights every `config.every` steps and keeps the best.

  The best state is on disk before the step's own checkpoint is written, so whatever a
  checkpoint believes to be the best can be read.
  """

  def __init__(self, config: ValidationConfig, job: Job, best: Checkpoints):
    self._config, self._job, self._checkpoints = config, job, best

  def due(self, step: int) -> bool:
    """Whether this step is scored."""
    return bool(self._config.every) and step % self._config.every == 0

  def exhausted(self, best: Best) -> bool:
    """Whether none of the last `patience` scores was better than all before it."""
    return bool(self._config.patience) and int(best.waited) >= self._config.patience

  def score(self, weights) -> float:
    """The job's held-out score; several processes get the same float32."""
    weights, score = distributed.local(weights), 0.0
    if distributed.primary():
      score = self._job.score(weights)
    return float(distributed.said_by_first(score))

  def compare(self, score: float, step: int, best: Best) -> tuple[Best, bool]:
    """The best after this score, and whether it is this one; it is kept in float32.

    A score that is NaN or infinite is never the best; patience counts it.
    """
    score = np.float32(score)
    beaten = int(best.step) and not score < float(best.bits_per_byte)
    if beaten or not np.isfinite(score):
      waited = np.int32(int(best.waited) + 1)
      return Best(np.float32(best.bits_per_byte), np.int32(best.step), waited), False
    return Best(score, np.int32(step), np.int32(0)), True

  def keep(self, step: int, save) -> None:
    """Writes the best state, and waits until it is on disk.

    A run that was killed behind this step comes here again with the same state.
    """
    if step not in self._checkpoints.steps():
      save(self._checkpoints)
      self._checkpoints.wait()
