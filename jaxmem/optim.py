"""The optimizer of a config, all of it Optax."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmem.config import OptimConfig
from jaxmem.parallel.mesh import is_names


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
  """A linear warm-up and a cosine; the learning rate of a step, counted from 0.

      step i of W warm-up steps   peak (i + 1) / W, so the peak at step W - 1
      behind them                 a cosine from there to the last step, steps - 1,
                                  which has exactly final_fraction peak

  Without a warm-up the first step is at the peak, and so is a run of a single step.

  Args:
    config: its `learning_rate` is the peak.
    steps: of the whole run; more than `warmup_steps`.
  """
  peak, warmup = config.learning_rate, config.warmup_steps
  first = max(warmup - 1, 0)  # of the cosine, where the rate is at its peak
  length = max(steps - 1 - first, 1)

  def rate(count):
    count = jnp.asarray(count, jnp.float32)
    rising = peak * (count + 1) / max(warmup, 1)
    way = jnp.clip((count - first) / length, 0, 1)
    left = (1 + jnp.cos(jnp.pi * way)) / 2  # 1 at the peak, 0 at the end
    falling = peak * (config.final_fraction + (1 - config.final_fraction) * left)
    return jnp.where(count < first, rising, falling)

  return rate


def make(config: OptimConfig, steps: int, names: Any) -> optax.GradientTransformation:
  """AdamW behind clipping by the global norm.

  Args:
    config: see `OptimConfig`.
    steps: of the whole run.
    names: the parameters' logical axis names: what is a matrix within its layer decays,
      norms, biases and decay rates do not.
  """
  matrix = lambda axes: len([a for a in axes if a != "layers"]) > 1
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(
      schedule(config, steps),
      b1=config.beta1,
      b2=config.beta2,
      weight_decay=config.weight_decay,
      mask=jax.tree.map(matrix, names, is_leaf=is_names),
    ),
  )
