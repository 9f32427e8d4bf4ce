"""How far back a memory reaches: how a change of an input moves the outputs after it.

Here a trained model is differentiated at a real text; `evaluation/visibility.py`
changes the inputs of a new mixer to find which tokens can reach which at all.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem.core.progress import DELAY, Progress
from jaxmem.evaluation.inspection.inside import Layer
from jaxmem.models.lm import LM
from jaxmem.models.pattern import mixer
from jaxmem.models.stack import Stack
from jaxmem.parallel.mesh import unboxed

SHARES = (0.5, 0.9, 0.99)


class Span(NamedTuple):
  """How influence falls with distance.

  Attributes:
    profile: [N], the mean norm of d output_t / d input_{t-d} for d = 0 .. N-1.
  """

  profile: np.ndarray

  def tokens(self, share: float) -> int:
    """Returns how many tokens, newest included, hold this share of the influence."""
    sums = np.cumsum(self.profile)
    # rounding may leave the last sum a hair below the total
    return int(np.searchsorted(sums, share * sums[-1] * (1 - 1e-12))) + 1

  def itself(self) -> float:
    """Returns the share of the newest token."""
    return float(self.profile[0] / self.profile.sum())

  def farthest(self) -> int:
    """Returns how many tokens, newest included, reach back to the oldest influence."""
    return int(np.flatnonzero(self.profile).max(initial=0)) + 1


def sampled(length: int, positions: int) -> np.ndarray:
  """Returns positions of outputs, evenly spread over the last quarter of the text."""
  # so each output has at least three quarters of the text before it
  first = length - max(length // 4, 1)
  return np.unique(np.linspace(first, length - 1, positions).astype(int))


def influence(
  f: Callable[[jax.Array], jax.Array],
  x: jax.Array,
  at: np.ndarray,
  directions: int = 0,
  seed: int | jax.Array = 0,
) -> jax.Array:
  """Returns [N, T], the Frobenius norm of d f(x)_t / d x_s for each t of `at`.

  The product of the Jacobian with an orthonormal basis of the output has its norm; with
  fewer random directions, scaled, the square is an unbiased estimate.

  Cost: f once, and N times as many reverse passes as directions.

  Args:
    f: [1, T, D] -> [1, T, E].
    x: where the derivative is taken.
    at: outputs, [N].
    directions: of the output, drawn anew for each t; 0 is all E, exact.
    seed: the seed of the directions.
  """
  y, pull = jax.vjp(f, x)  # y: [1, T, E]
  size = y.shape[-1]
  count = min(directions, size) or size
  normal = jax.random.normal(jax.random.key(seed), (len(at), size, count), y.dtype)
  bases = jnp.linalg.qr(normal)[0].mT  # [N, count, E]

  def square(cotangent):
    t, direction = cotangent
    (dx,) = pull(jnp.zeros_like(y).at[0, t].set(direction))
    return jnp.square(dx[0]).sum(-1)  # [T]

  cotangents = jnp.repeat(jnp.asarray(at), count), bases.reshape(-1, size)
  # eight reverse passes at once: all of them would not fit in memory
  squares = jax.lax.map(square, cotangents, batch_size=8)  # [N * count, T]
  total = squares.reshape(len(at), count, -1).sum(1)  # [N, T]
  return jnp.sqrt(total * (size / count))


def by_distance(moved: np.ndarray, at: np.ndarray) -> Span:
  """Returns the mean over the outputs, at the distances that all of them reach."""
  # reversed from t, a row is indexed by distance
  rows = [row[t::-1][: min(at) + 1] for row, t in zip(moved, at, strict=True)]
  return Span(np.mean(np.asarray(rows, np.float64), axis=0))


def of_model(
  model: LM, params: Any, tokens: np.ndarray, at: np.ndarray, directions: int
) -> Span:
  """Returns the influence of the first block's inputs on the features of the head.

  Cost: see `influence`; f is the model without its head.
  """

  @jax.jit
  def run(params, tokens):
    def features(x):
      with nn.intercept_methods(functools.partial(_add_to_stack, x)):
        y, _ = model.apply(
          {"params": params}, tokens, model.init_state(1), method="features"
        )
      return y

    # tokens have no derivative, so it is taken by a zero added to their embeddings
    zeros = jnp.zeros((*tokens.shape, model.d_model))
    return influence(features, zeros, at, directions)

  return by_distance(np.asarray(run(params, jnp.asarray(tokens)[None])), at)


def _add_to_stack(x: jax.Array, call, args, kwargs, context):
  """Adds `x` to the inputs of the stack."""
  if isinstance(context.module, Stack) and context.method_name == "__call__":
    args = args[0] + x, *args[1:]
  return call(*args, **kwargs)


def of_layers(
  model: LM,
  params: Any,
  inputs: dict[Layer, np.ndarray],
  at: np.ndarray,
  directions: int,
) -> dict[Layer, Span]:
  """Returns the influence in each mixer alone, at its inputs in the model.

  Args:
    model: a model as `inside.plain` returns it.
    params: its parameters.
    inputs: layer -> [T, D], see `inside.Seen`.
    at: see `influence`.
    directions: see `influence`.
  """
  groups = unboxed(params)["stack"]["groups"]

  @functools.partial(jax.jit, static_argnums=0)
  def run(entry, params, x):
    memory = mixer(entry, model.d_model, "float32", parent=None)

    def outputs(x):
      return memory.apply({"params": params}, x, memory.init_state(1))[0]

    return influence(outputs, x, at, directions)

  def span(layer, x):
    block = groups[f"block_{layer.block}"]["mixer"]
    # groups are stacked for the scan: the leading axis is the group
    mixer_params = jax.tree.map(lambda a: a[layer.group], block)
    return by_distance(
      np.asarray(run(layer.entry, mixer_params, jnp.asarray(x)[None])), at
    )

  spans = {}
  with Progress(len(inputs), "mixers", delay=DELAY) as progress:
    for layer, x in inputs.items():
      spans[layer] = span(layer, x)
      progress.advance()
  return spans
