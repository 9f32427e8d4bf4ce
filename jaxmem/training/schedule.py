"""Learning-rate schedules: a linear warm-up, followed by a decay."""

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


# Decay shapes: they map the fraction of the steps that is done, 0 to 1, to the height
# above the final rate, where the peak is 1.
def _cosine(progress: jax.Array) -> jax.Array:
  return (1 + jnp.cos(jnp.pi * progress)) / 2


def _linear(progress: jax.Array) -> jax.Array:
  return 1 - progress


def _constant(progress: jax.Array) -> jax.Array:
  return jnp.ones_like(progress)


def _wsd(progress: jax.Array, decay: float = 0.2) -> jax.Array:
  """Stays at the peak, and falls in the last fraction `decay` of the steps."""
  with raised_as(ConfigError, f"{_KEY} wsd: "):
    check_number(decay, "decay", Range(above=0, at_most=1))
  return jnp.clip((1 - progress) / decay, 0, 1)


_SHAPES = {"cosine": _cosine, "linear": _linear, "constant": _constant, "wsd": _wsd}


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
  """Makes the schedule of a run: the learning rate of a step, counted from 0.

      step i of W warm-up steps   peak (i + 1) / W, so the peak at step W - 1
      after them                  "cosine", "linear", "constant" or "wsd" from there to
                                  the last step, steps - 1, which has exactly
                                  final_fraction peak ("constant": the peak)

  Without a warm-up the first step is at the peak, and so is a run of a single step.

  A schedule of Optax replaces the decay after the warm-up, and takes its arguments from
  the config where the text gives none: values from `learning_rate` and
  `final_fraction`, lengths from the steps that remain. One that takes `warmup_steps`
  receives them and is the whole schedule. So is a function of a Python config, of the
  step.

  Args:
    config: its `learning_rate` is the peak.
    steps: the number of steps of the whole run; more than the warm-up.

  Raises:
    ConfigError: if there is no such schedule, or it cannot be made.
  """
  function, options = find(_KEY, config.schedule, _known())
  if isinstance(config.schedule, Function):
    return function
  peak, warmup = config.learning_rate, config.warmup(steps)
  first = max(warmup - 1, 0)  # the last step of the warm-up, where the rate peaks
  length = max(steps - 1 - first, 1)
  if function in _SHAPES.values():
    # a wrong option is found now, not when the step is traced
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
    progress = jnp.clip((count - first) / length, 0, 1)
    height = function(progress, **options)  # 1 at the peak, 0 at the end
    falling = peak * (config.final_fraction + (1 - config.final_fraction) * height)
    return jnp.where(count < first, rising, falling)

  return rate


def _of_optax(
  config: OptimConfig, function: Callable, options: dict, warmup: int, length: int
) -> optax.Schedule:
  """Makes a schedule of Optax with the arguments that the config decides."""
  accepted, peak = inspect.signature(function).parameters, config.learning_rate
  defaults = {
    "value": peak,
    "init_value": 0.0 if "peak_value" in accepted else peak,
    "peak_value": peak,
    "end_value": peak * config.final_fraction,
    "alpha": config.final_fraction,
    "warmup_steps": warmup,
    "decay_steps": length,
    "transition_steps": length,
  }
  kwargs: dict[str, Any] = {k: v for k, v in defaults.items() if k in accepted}
  return call(_KEY, config.schedule, function, **kwargs | options)


@functools.cache
def _known() -> dict[str, Callable]:
  """Lists the shapes of this file and the schedules of Optax, by name."""
  of_optax = {
    name: function
    for name, function in vars(optax).items()
    if name.endswith("_schedule") and not name.startswith("scale_by")
  }
  return of_optax | _SHAPES
