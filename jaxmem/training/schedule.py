"""The learning rate of a step: a linear warm-up, and a way down behind it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmem.core.errors import ConfigError, raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.training.config import OptimConfig
from jaxmem.training.functions import Function, call, find

_KEY = "optim.schedule"


# What is left of the way from the peak, 1 to 0, when a fraction of the steps is done.
def _cosine(way: jax.Array) -> jax.Array:
  return (1 + jnp.cos(jnp.pi * way)) / 2


def _linear(way: jax.Array) -> jax.Array:
  return 1 - way


def _constant(way: jax.Array) -> jax.Array:
  return jnp.ones_like(way)


def _wsd(way: jax.Array, decay: float = 0.2) -> jax.Array:
  """Stays at the peak, and falls in the last fraction `decay` of the steps."""
  with raised_as(ConfigError, f"{_KEY} wsd: "):
    check_number(decay, "decay", Range(above=0, at_most=1))
  return jnp.clip((1 - way) / decay, 0, 1)


_SHAPES = {"cosine": _cosine, "linear": _linear, "constant": _constant, "wsd": _wsd}


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
  """A warm-up and what follows; the learning rate of a step, counted from 0.

      step i of W warm-up steps   peak (i + 1) / W, so the peak at step W - 1
      behind them                 "cosine", "linear", "constant" or "wsd" from there to
                                  the last step, steps - 1, which has exactly
                                  final_fraction peak ("constant": the peak)

  Without a warm-up the first step is at the peak, and so is a run of a single step.

  A schedule of Optax takes the place of what follows the warm-up, and has its
  arguments from the config where the text gives none: values from `learning_rate` and
  `final_fraction`, lengths from the steps that are left. One that takes `warmup_steps`
  is told them and is the whole schedule. So is a function of a Python config, of the
  step.

  Args:
    config: its `learning_rate` is the peak.
    steps: of the whole run; more than the warm-up.

  Raises:
    ConfigError: if there is no such schedule, or it cannot be made.
  """
  function, options = find(_KEY, config.schedule, _known())
  if isinstance(config.schedule, Function):
    return function
  peak, warmup = config.learning_rate, config.warmup(steps)
  first = max(warmup - 1, 0)  # behind the warm-up, where the rate is at its peak
  length = max(steps - 1 - first, 1)
  if function in _SHAPES.values():
    shape = functools.partial(function, **options)
    call(_KEY, config.schedule, jax.eval_shape, shape, 0.5)
  elif "warmup_steps" in inspect.signature(function).parameters:
    return _of_optax(config, function, options, warmup, max(steps - 1, 1))
  else:
    function, options = _of_optax(config, function, options, warmup, length), None

  def rate(count):
    count = jnp.asarray(count, jnp.float32)
    rising = peak * (count + 1) / max(warmup, 1)
    if options is None:
      return jnp.where(count < first, rising, function(jnp.maximum(count - first, 0)))
    way = jnp.clip((count - first) / length, 0, 1)
    left = function(way, **options)  # 1 at the peak, 0 at the end
    falling = peak * (config.final_fraction + (1 - config.final_fraction) * left)
    return jnp.where(count < first, rising, falling)

  return rate


def _of_optax(
  config: OptimConfig, function: Callable, options: dict, warmup: int, length: int
) -> optax.Schedule:
  """A schedule of Optax, with the arguments that the config decides."""
  takes, peak = inspect.signature(function).parameters, config.learning_rate
  filled = {
    "value": peak,
    "init_value": 0.0 if "peak_value" in takes else peak,
    "peak_value": peak,
    "end_value": peak * config.final_fraction,
    "alpha": config.final_fraction,
    "warmup_steps": warmup,
    "decay_steps": length,
    "transition_steps": length,
  }
  given: dict[str, Any] = {k: v for k, v in filled.items() if k in takes} | options
  return call(_KEY, config.schedule, function, **given)


@functools.cache
def _known() -> dict[str, Callable]:
  """Name -> schedule: the shapes of this file, and what Optax calls a schedule."""
  of_optax = {
    name: function
    for name, function in vars(optax).items()
    if name.endswith("_schedule") and not name.startswith("scale_by")
  }
  return of_optax | _SHAPES
