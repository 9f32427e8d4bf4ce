"""The optimizer of a config, all of it Optax."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmem.parallel.mesh import is_names
from jaxmem.training.config import OptimConfig


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


# What Flax's own layers call the weights that mix channels, and its tables of vectors.
_WEIGHTS = ("kernel", "embedding")


def decays(names: Any) -> Any:
  """Whether weight decay acts on each parameter, as `layers.named` declared it.

  A parameter that declares nothing, of a layer that is not of this library, decays if
  it is called "kernel" or "embedding", and not otherwise.

  Args:
    names: a tree of `parallel.mesh.Names`; plain tuples declare nothing.

  Returns:
    The same tree of bools.
  """

  def one(path, axes):
    declared = getattr(axes, "decay", None)
    if declared is not None:
      return declared
    return bool(path) and getattr(path[-1], "key", None) in _WEIGHTS

  return jax.tree_util.tree_map_with_path(one, names, is_leaf=is_names)


def make(config: OptimConfig, steps: int, names: Any) -> optax.GradientTransformation:
  """AdamW behind clipping by the global norm.

  Args:
    config: see `OptimConfig`.
    steps: of the whole run.
    names: the parameters' logical axis names, see `parallel.mesh.param_names`; they
      carry what each parameter declares about its decay, see `decays`.
  """
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(
      schedule(config, steps),
      b1=config.beta1,
      b2=config.beta2,
      weight_decay=config.weight_decay,
      mask=decays(names),
    ),
  )
