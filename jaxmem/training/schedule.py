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

  A schedule of Optax replaces the decay after the warm-up. Arguments that
  `optim.schedule` does not state come from the config: values from `learning_rate` and
  `final_fraction`, lengths from the steps that remain. One that takes `warmup_steps`
  receives them and is the whole schedule, and so is a function of the step that a
  Python config gives.

  Args:
    config: its `learning_rate` is the peak.
    steps: the number of steps of the whole run; more than the warm-up.

  Raises:
    ConfigError: if there is no such schedule, or it cannot be made.
  """
  function, options = find(_KEY, config.schedule, _schedules())
  if isinstance(config.schedule, Function):
    return function
  peak, warmup = config.learning_rate, config.warmup(steps)
  first = max(warmup - 1, 0)  # the last step of the warm-up, where the rate peaks
  length = max(steps - 1 - first, 1)
  if function in _SHAPES.values():
    # a wrong option is found now, not when the step is traced
    shape = functools.partial(function, **options)
    call(_KEY, config.schedule, jax.eval_shape, shape, 0.5)

    def decay(count):
      height = shape(jnp.clip((count - first) / length, 0, 1))  # 1 at the peak
      return peak * (config.final_fraction + (1 - config.final_fraction) * height)

  elif "warmup_steps" in inspect.signature(function).parameters:
    return _of_optax(config, function, options, warmup, max(steps - 1, 1))
  else:
    after_warmup = _of_optax(config, function, options, warmup, length)

    def decay(count):
      return after_warmup(jnp.maximum(count - first, 0))

  def rate(count):
    count = jnp.asarray(count, jnp.float32)
    rising = peak * (count + 1) / max(warmup, 1)
    return jnp.where(count < first, rising, decay(count))

  return rate


def _of_optax(
  config: OptimConfig, function: Callable, options: dict, warmup: int, length: int
) -> optax.Schedule:
  """Makes a schedule of Optax; the config gives the arguments that are not stated."""
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
def _schedules() -> dict[str, Callable]:
  """Returns the shapes of this file and the schedules of Optax, by name."""
  of_optax = {
    name: function
    for name, function in vars(optax).items()
    if name.endswith("_schedule") and not name.startswith("scale_by")
  }
  return of_optax | _SHAPES
