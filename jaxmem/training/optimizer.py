"""Builds the optimizer of a config from Optax."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxmem.core.errors import ConfigError
from jaxmem.parallel.mesh import is_names
from jaxmem.training.config import OptimConfig
from jaxmem.training.functions import call, find
from jaxmem.training.schedule import schedule

_KEY = "optim.optimizer"

# What Flax's own layers call the weights that mix channels, and its tables of vectors.
_WEIGHTS = ("kernel", "embedding")


def decays(names: Any) -> Any:
  """Returns whether weight decay acts on each parameter, as `layers.named` declared.

  A parameter that declares nothing, of a layer that is not of this library, decays if
  it is called "kernel" or "embedding", and not otherwise.

  Args:
    names: a tree of `parallel.mesh.Names`; plain tuples declare nothing.

  Returns:
    A tree of bools of the same structure.
  """

  def decays_leaf(path, axes):
    declared = getattr(axes, "decay", None)
    if declared is not None:
      return declared
    return bool(path) and getattr(path[-1], "key", None) in _WEIGHTS

  return jax.tree_util.tree_map_with_path(decays_leaf, names, is_leaf=is_names)


# Arguments that other fields of the config decide.
_RATE = "learning_rate"
_DECAYS = ("weight_decay", "weight_decay_rate", "adam_weight_decay")
_MASKS = ("mask", "weight_decay_mask")
_BETAS = {"b1": "beta1", "b2": "beta2"}


def make(config: OptimConfig, steps: int, names: Any) -> optax.GradientTransformation:
  """Makes the config's optimizer, which follows clipping by the global norm.

  An optimizer that takes `weight_decay` and its `mask`, as AdamW and Lion do, decays by
  itself; after any other, weight_decay times the learning rate times the parameter is
  subtracted from the parameters that `decays` selects.

  Args:
    config: see `OptimConfig`.
    steps: the number of steps of the whole run.
    names: the logical axis names of the trainable parameters, see
      `parallel.mesh.param_names`; they carry what each declares about its decay.

  Raises:
    ConfigError: if there is no such optimizer or schedule, or it has no such option.
  """
  function, options = find(_KEY, config.optimizer, _known())
  rate, mask = schedule(config, steps), decays(names)
  accepted = inspect.signature(function).parameters
  kwargs = _decided(config, function, accepted) | {_RATE: rate}
  for option in options:
    if option in (*kwargs, *_DECAYS, *_MASKS):
      field = _BETAS.get(option, _RATE if option == _RATE else "weight_decay")
      raise ConfigError(
        f"{_KEY} {config.optimizer!r} gives {option!r}: set optim.{field} instead"
      )
  masked = {"weight_decay", "mask"} <= set(accepted)
  if masked:
    kwargs |= {"weight_decay": config.weight_decay, "mask": mask}
  rule = call(_KEY, config.optimizer, function, **kwargs, **options)
  if config.weight_decay and not masked:

    def decay(count):  # decoupled as in AdamW: the rate is in it, and so is the sign
      return -config.weight_decay * rate(count)

    rule = optax.chain(rule, optax.add_decayed_weights(decay, mask))
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def _decided(config: OptimConfig, function: Callable, accepted: Any) -> dict[str, Any]:
  """Returns AdamW's betas, or zeros for another optimizer's own weight decay.

  Raises:
    ConfigError: if the function cannot be told a learning rate, or betas are given to
      another optimizer than AdamW.
  """
  if _RATE not in accepted:
    raise ConfigError(
      f"{_KEY} {config.optimizer!r} takes no {_RATE}: give a function that does"
    )
  if function is optax.adamw:
    return {option: getattr(config, field) for option, field in _BETAS.items()}
  for field in _BETAS.values():
    value = getattr(config, field)
    if value != getattr(OptimConfig, field):
      raise ConfigError(
        f"optim.{field} is {value} and {_KEY} {config.optimizer!r}: it is AdamW's; "
        "give others theirs as options, such as lion:b1=0.9"
      )
  return {option: 0.0 for option in _DECAYS if option in accepted}


@functools.cache
def _known() -> dict[str, Callable]:
  """Lists what Optax and its `contrib` have that takes a learning rate, by name."""
  members = vars(optax.contrib) | vars(optax)
  return {
    name: function
    for name, function in members.items()
    if inspect.isfunction(function)
    and not name.startswith(("_", "scale_by"))
    and _RATE in inspect.signature(function).parameters
  }


def check(config: OptimConfig, rule: optax.GradientTransformation, params: Any) -> None:
  """Raises ConfigError if the optimizer needs more than gradients and parameters.

  Args:
    config: the config of the optimizer.
    rule: see `make`.
    params: the shapes of the trainable parameters.
  """
  if config.optimizer == "adamw":
    return  # AdamW is known to need no more, and a trace costs time

  def update(params):
    return rule.update(params, rule.init(params), params)

  with jax.numpy_dtype_promotion("standard"):  # as in the step: Optax mixes dtypes
    call(_KEY, config.optimizer, jax.eval_shape, update, params)


def placed(opt_state: Any, params: Any, default: Any) -> Any:
  """Returns the shardings of an optimizer state: moments lie as their parameters do.

  Args:
    opt_state: the shapes of the state.
    params: (shape, sharding) of each trainable parameter.
    default: the sharding of every array without the path and shape of a parameter.
  """
  pairs = jax.tree_util.tree_leaves_with_path(
    params, is_leaf=lambda a: isinstance(a, tuple)
  )
  by_path = dict(pairs)

  def sharding_of(path, leaf):
    # Optax wraps the parameters' tree in tuples: a moment's path ends in a parameter's
    suffixes = (path[i:] for i in range(len(path)))
    matches = (by_path[suffix] for suffix in suffixes if suffix in by_path)
    shape, sharding = next(matches, ((), default))
    return sharding if leaf.shape == shape else default

  return jax.tree_util.tree_map_with_path(sharding_of, opt_state)


def count(opt_state: Any, step: jax.Array) -> jax.Array:
  """Returns the optimizer's own count of updates, or `step` if it keeps none.

  The count is less than the steps where some steps were skipped.

  Args:
    opt_state: the state of any optimizer of Optax.
    step: how many steps the run has made.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(opt_state):
    if getattr(path[-1], "name", None) == "count":
      return leaf
  return step
