"""The optimizer of a config, all of it Optax."""

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


# Arguments that other fields of the config decide.
_RATE = "learning_rate"
_DECAYS = ("weight_decay", "weight_decay_rate", "adam_weight_decay")
_MASKS = ("mask", "weight_decay_mask")
_BETAS = {"b1": "beta1", "b2": "beta2"}


def make(config: OptimConfig, steps: int, names: Any) -> optax.GradientTransformation:
  """The config's optimizer behind clipping by the global norm.

  What takes `weight_decay` and its `mask`, as AdamW and Lion do, decays by itself;
  behind any other, weight_decay times the learning rate times the parameter is taken
  from the parameters that `decays` names.

  Args:
    config: see `OptimConfig`.
    steps: of the whole run.
    names: the logical axis names of the parameters that move, see
      `parallel.mesh.param_names`; they carry what each declares about its decay.

  Raises:
    ConfigError: if there is no such optimizer or schedule, or it has no such option.
  """
  function, options = find(_KEY, config.optimizer, _known())
  rate, mask = schedule(config, steps), decays(names)
  takes = inspect.signature(function).parameters
  given = _decided(config, function, takes) | {_RATE: rate}
  for option in options:
    if option in (*given, *_DECAYS, *_MASKS):
      field = _BETAS.get(option, _RATE if option == _RATE else "weight_decay")
      raise ConfigError(
        f"{_KEY} {config.optimizer!r} gives {option!r}: set optim.{field} instead"
      )
  masked = {"weight_decay", "mask"} <= set(takes)
  if masked:
    given |= {"weight_decay": config.weight_decay, "mask": mask}
  rule = call(_KEY, config.optimizer, function, **given, **options)
  if config.weight_decay and not masked:
    decay = lambda count: -config.weight_decay * rate(count)
    rule = optax.chain(rule, optax.add_decayed_weights(decay, mask))
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def _decided(config: OptimConfig, function: Callable, takes: Any) -> dict[str, Any]:
  """AdamW's betas, and no decay of an optimizer's own.

  Raises:
    ConfigError: if the function cannot be told a learning rate, or betas are given to
      another optimizer than AdamW.
  """
  if _RATE not in takes:
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
  return {option: 0.0 for option in _DECAYS if option in takes}


@functools.cache
def _known() -> dict[str, Callable]:
  """Name -> optimizer: what Optax has that takes a learning rate, its `contrib` too."""
  both = vars(optax.contrib) | vars(optax)
  return {
    name: function
    for name, function in both.items()
    if inspect.isfunction(function)
    and not name.startswith(("_", "scale_by"))
    and _RATE in inspect.signature(function).parameters
  }


def check(config: OptimConfig, rule: optax.GradientTransformation, params: Any) -> None:
  """Raises ConfigError if the optimizer needs more than gradients and parameters.

  Args:
    config: of the optimizer.
    rule: see `make`.
    params: the shapes of what moves.
  """
  if config.optimizer == "adamw":
    return  # known to need no more, and a trace costs time

  def update(params):
    return rule.update(params, rule.init(params), params)

  with jax.numpy_dtype_promotion("standard"):
    call(_KEY, config.optimizer, jax.eval_shape, update, params)


def placed(opt_state: Any, params: Any, rest: Any) -> Any:
  """The shardings of the optimizer's state: a moment lies as its parameter does.

  Args:
    opt_state: shapes.
    params: (shape, sharding) of each parameter that moves.
    rest: the sharding of all that has not the path and shape of a parameter.
  """
  is_pair = lambda a: isinstance(a, tuple)
  places = dict(jax.tree_util.tree_leaves_with_path(params, is_leaf=is_pair))

  def one(path, leaf):
    ends = (path[i:] for i in range(len(path)))
    shape, sharding = next((places[end] for end in ends if end in places), ((), rest))
    return sharding if leaf.shape == shape else rest

  return jax.tree_util.tree_map_with_path(one, opt_state)


def count(opt_state: Any, step: jax.Array) -> jax.Array:
  """The updates that an optimizer has made, by its own count; the steps if it has none.

  It is less than the steps where some were skipped.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(opt_state):
    if getattr(path[-1], "name", None) == "count":
      return leaf
  return step
