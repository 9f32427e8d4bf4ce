"""The optimizer of a config, all of it Optax."""

from typing import Any

import jax
import optax

from jaxmem.config import OptimConfig
from jaxmem.parallel.mesh import is_names


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
  """A linear warm-up from 0, then a cosine that ends at the last step."""
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=steps,
    end_value=config.learning_rate * config.final_fraction,
  )


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
