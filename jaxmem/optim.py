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
