"""The gradient of a batch that is computed in parts, equal to that of the whole.

Part p of P takes the rows p, p + P, p + 2 P, ...: rows lie over the devices in blocks,
so each device has rows in every part, and computes no more than without parts.

A loss that looks across rows takes two passes: all parts give what the loss reads of a
row, the loss of the whole batch is differentiated by that, and each part is computed
again to carry its share of this gradient back to the parameters. Source: Gao et al.
2021, arXiv:2101.06983 (gradient caching).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxmem.parallel import mesh as meshes
from jaxmem.training.adversarial import Loss, with_noise


def cut(tree: Any, parts: int, names: Any = None) -> Any:
  """Arrays [B, ...] as [parts, B / parts, ...]; see above which rows are a part.

  Args:
    tree: of arrays.
    parts: that divide B.
    names: the logical names of the arrays' axes, which keep each row on its device;
      None for arrays of a batch, [B, T, ...] or [B].
  """

  def one(a, axes):
    a = a.reshape(a.shape[0] // parts, parts, *a.shape[1:]).swapaxes(0, 1)
    return _placed(a, PartitionSpec(None, *meshes.partition(axes)))

  if names is None:
    names = jax.tree.map(lambda a: meshes.batch_names(a.ndim), tree)
  return jax.tree.map(one, tree, names)


def join(tree: Any) -> Any:
  """The inverse of `cut`."""
  return jax.tree.map(lambda a: a.swapaxes(0, 1).reshape(-1, *a.shape[2:]), tree)


def _placed(a: jax.Array, spec: PartitionSpec) -> jax.Array:
  """The array on the ambient mesh, if there is one."""
  if jax.sharding.get_abstract_mesh().empty:
    return a
  return jax.lax.with_sharding_constraint(a, spec)


def in_parts(loss: Loss, parts: int, memory_names: Any) -> Callable:
  """`adversarial.whole(loss)` in parts, for a loss that is a sum over rows.

  Args:
    loss: `(params, memory, batch, rng) -> (summed nats, memory)`.
    parts: of a batch.
    memory_names: the logical names of the memory's axes.
  """
  step = jax.value_and_grad(with_noise(loss), has_aux=True)

  def gradient(given, memory, batch, rng):
    params, noise = given

    def part(total, xs):
      memory, batch, noise = xs
      (nats, memory), (grads, up) = step((params, noise), memory, batch, rng)
      return jax.tree.map(jnp.add, total, (nats, grads)), (memory, up)

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    xs = cut(memory, parts, memory_names), cut(batch, parts), cut(noise, parts)
    (nats, grads), (memory, up) = jax.lax.scan(part, zeros, xs)
    return (nats, join(memory)), (grads, join(up))

  return gradient


def in_two_passes(by_row: Callable, across: Callable, parts: int) -> Callable:
  """The same for a loss that looks across rows, of a model that carries no memory.

  Args:
    by_row: `(params, batch, rng) -> (arrays [B, ...], other nats)`: what the loss reads
      of each row, and what is added to it.
    across: `(arrays, batch) -> summed nats` of a whole batch.
    parts: of a batch.
  """

  def gradient(given, memory, batch, rng):
    params, noise = given
    xs = cut(batch, parts), cut(noise, parts)

    def read(given, batch):
      params, noise = given
      moved = batch if noise is None else batch | {"noise": noise}
      return by_row(params, moved, rng)

    first = lambda _, xs: (None, read((params, xs[1]), xs[0])[0])
    _, vectors = jax.lax.scan(first, None, xs)
    nats, pull = jax.value_and_grad(across)(join(vectors), batch)

    def second(total, xs):
      (batch, noise), pull = xs
      (_, other), back = jax.vjp(lambda g: read(g, batch), (params, noise))
      grads, up = back((pull, jnp.ones_like(other)))[0]
      return jax.tree.map(jnp.add, total, (other, grads)), up

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    (others, grads), up = jax.lax.scan(second, zeros, (xs, cut(pull, parts)))
    return (nats + others, memory), (grads, join(up))

  return gradient
