"""Flax's `nn.RNN` around its cells, as Linen ships it."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from .layer import D_MODEL, NOTHING, Layer, of_call

CELLS = ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell", "MGUCell")
NOTE = "`seq_lengths` marks padding on the right; no argument marks documents."


def _linen(name: str) -> Layer:
  cell = getattr(nn, name)(D_MODEL)
  rnn = nn.RNN(cell)
  x = jnp.zeros((1, 2, D_MODEL))
  start = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
  tree = jax.tree.structure(start)
  leaves, params_tree = jax.tree.flatten(rnn.init(jax.random.key(0), x))
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    a + 0.2 * jax.random.normal(k, a.shape, a.dtype)
    for a, k in zip(leaves, keys, strict=True)
  ]

  def carried(params, x, state, reset):
    params = jax.tree.unflatten(params_tree, params)
    carry = jax.tree.unflatten(tree, state)
    after, y = rnn.apply(params, x, initial_carry=carry, return_carry=True)
    return y, tuple(jax.tree.leaves(after))

  def alone(params, x, state, reset):
    return rnn.apply(jax.tree.unflatten(params_tree, params), x), state

  def empty(batch_size):
    key = jax.random.key(0)  # of cells whose first carry is random; these have zeros
    return tuple(jax.tree.leaves(cell.initialize_carry(key, (batch_size, D_MODEL))))

  name = f"flax nn.RNN({name})"
  return Layer(
    name=name, package="flax", path="JAX, Linen", told=NOTHING, claims=False, note=NOTE,
    packed=of_call(name, moved, alone), carried=of_call(name, moved, carried, empty),
  )  # fmt: skip


def layers() -> list[Layer]:
  """Returns the rows of flax."""
  return [_linen(name) for name in CELLS]
