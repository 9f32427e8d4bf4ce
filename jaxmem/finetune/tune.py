"""Trains what was grafted on a frozen model, by steps that can be gone on with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util

from jaxmem.core.errors import RunError
from jaxmem.core.finite import all_finite
from jaxmem.finetune.graft import join
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.training import optimizer as optim
from jaxmem.training.config import OptimConfig

# A memory's scale begins at 0 and one step moves it by the rate: it is given more.
SCALE_RATE = 10.0


class Tuned(NamedTuple):
  """What training changes; the frozen parameters are in neither.

  Attributes:
    fresh: the parameters that were grafted.
    opt_state: the optimizer's, of these alone.
  """

  fresh: dict
  opt_state: Any


def tune(
  model: nn.Module,
  frozen: dict,
  first: tuple[dict, dict],
  rows: Callable[[int], np.ndarray],
  steps: int,
  rate: float,
  directory: Path,
  every: int = 10,
  say: Callable[[int, float], None] = lambda step, loss: None,
) -> dict:
  """The grafted parameters after `steps` steps of AdamW on the next token's nats.

  Args:
    model: see `graft.graft`.
    frozen: what it knows; not changed.
    first: what is trained, and its logical axis names, see `graft.first`.
    rows: the tokens [B, T + 1] of a step, from 0.
    steps: of all; begun ones count.
    rate: the highest learning rate.
    directory: of checkpoints; training goes on from the last one.
    every: steps between checkpoints.
    say: is told the step, from 1, and its mean nats.

  Raises:
    CheckpointError: if the directory cannot be used, or holds something else.
    RunError: if the loss, or what a step makes of the parameters, is not finite.
  """
  fresh, names = first
  optimizer = _optimizer(fresh, names, steps, rate)
  # a copy: a step donates its state, and some of `fresh` may be what is frozen
  state = jax.tree.map(jnp.copy, Tuned(fresh, optimizer.init(fresh)))
  step = _step(model, optimizer)
  with Checkpoints(directory.absolute(), keep=1) as saved:
    begin = 0
    if saved.steps():
      place = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding)
      restored = saved.restore(
        jax.tree.map(place, jax.tree.map(jax.numpy.asarray, state))
      )
      begin, state = restored.step, restored.state
    for i in range(begin, steps):
      state, loss, good = step(state, frozen, rows(i))
      if not good:
        finite = np.isfinite(loss)  # then it is what the update makes of the weights
        what = f"update of step {i + 1} is not finite"
        what = what if finite else f"loss of step {i + 1} is {loss}"
        raise RunError(f"the {what}: take a lower rate")
      say(i + 1, float(loss))
      if (i + 1) % every == 0 or i + 1 == steps:
        saved.save(i + 1, state, {}, {})
    saved.wait()
  return state.fresh


def _optimizer(
  fresh: dict, names: dict, steps: int, rate: float
) -> optax.GradientTransformation:
  """The trainer's optimizer, without decay, and a higher rate for memories' scales."""
  config = OptimConfig(
    learning_rate=rate, warmup_steps=steps // 10, weight_decay=0.0, final_fraction=0.1
  )
  is_scale = lambda path, _: path[-2:] == ("mixer", "scale")
  mask = traverse_util.path_aware_map(is_scale, fresh)
  return optax.chain(
    optim.make(config, steps, names),
    optax.masked(optax.scale(SCALE_RATE), mask),
  )


def _step(model: nn.Module, optimizer: optax.GradientTransformation) -> Callable:
  """One update; gradients are taken of what is trained, and of nothing else."""

  def loss(fresh, frozen, rows):
    params = {"params": join(frozen, fresh)}
    state = model.init_state(len(rows))
    args = rows[:, :-1], rows[:, 1:], state
    return model.apply(params, *args, method="losses")[0].mean()

  def step(state, frozen, rows):
    nats, grads = jax.value_and_grad(loss)(state.fresh, frozen, rows)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts with floats
      updates, opt_state = optimizer.update(grads, state.opt_state, state.fresh)
    new = Tuned(optax.apply_updates(state.fresh, updates), opt_state)
    return new, nats, all_finite((nats, new))

  return jax.jit(step, donate_argnums=0)
