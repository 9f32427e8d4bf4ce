"""Gradient accumulation: a batch computed in parts has the gradient of the whole.

Part p of P takes the rows p, p + P, p + 2 P, ...: rows are sharded over the devices in
blocks, so each device has rows in every part, and no device idles during a part.

A loss that looks across rows takes two passes: the first computes what the loss reads
of each row, and the loss of the whole batch is differentiated with respect to these
vectors; the second computes each part again to pull its cotangents back to the
parameters.

Source: Gao et al. 2021, arXiv:2101.06983 (gradient caching).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxmem.parallel import mesh as meshes
from jaxmem.training.adversarial import Loss, with_noise


def cut(tree: Any, parts: int, names: Any = None) -> Any:
  """Splits arrays [B, ...] into [parts, B / parts, ...]; the module says which rows.

  Args:
    tree: a tree of arrays with rows first.
    parts: how many; must divide B.
    names: the logical names of the arrays' axes, which keep each row on its device;
      None stands for the names of a batch, [B, T, ...] or [B].

  Returns:
    The tree with an axis of parts before the rows.
  """

  def cut_array(a, axes):
    # row r is entry r // parts of part r % parts, so no row changes its device
    a = a.reshape(a.shape[0] // parts, parts, *a.shape[1:])  # [B / P, P, ...]
    a = a.swapaxes(0, 1)  # [P, B / P, ...]
    return _placed(a, PartitionSpec(None, *meshes.partition(axes)))

  if names is None:
    names = jax.tree.map(lambda a: meshes.batch_names(a.ndim), tree)
  return jax.tree.map(cut_array, tree, names)


def join(tree: Any) -> Any:
  """Undoes `cut`: arrays [parts, B / parts, ...] become [B, ...]."""
  return jax.tree.map(lambda a: a.swapaxes(0, 1).reshape(-1, *a.shape[2:]), tree)


def _placed(a: jax.Array, spec: PartitionSpec) -> jax.Array:
  """Constrains the array to the ambient mesh, if there is one."""
  if jax.sharding.get_abstract_mesh().empty:
    return a
  return jax.lax.with_sharding_constraint(a, spec)


def in_parts(loss: Loss, parts: int, memory_names: Any) -> Callable:
  """Returns `adversarial.whole(loss)`, computed in parts; the loss sums over rows.

  One part's activations exist at a time, which is what accumulation is for.

  Args:
    loss: `(params, memory, batch, rng) -> (summed nats, memory)`.
    parts: how many parts a batch is cut into.
    memory_names: the logical names of the memory's axes.

  Returns:
    `((params, noise), memory, batch, rng) -> ((nats, memory), (grads, noise_grads))`.
  """
  differentiate = jax.value_and_grad(with_noise(loss), has_aux=True)

  def gradient(primals, memory, batch, rng):
    params, noise = primals

    def add_part(total, xs):
      memory, batch, noise = xs
      primals = params, noise
      (nats, memory), (grads, noise_grads) = differentiate(primals, memory, batch, rng)
      return jax.tree.map(jnp.add, total, (nats, grads)), (memory, noise_grads)

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    xs = cut(memory, parts, memory_names), cut(batch, parts), cut(noise, parts)
    (nats, grads), (memory, noise_grads) = jax.lax.scan(add_part, zeros, xs)
    return (nats, join(memory)), (grads, join(noise_grads))

  return gradient


def in_two_passes(by_row: Callable, across: Callable, parts: int) -> Callable:
  """Does the same for a loss across rows, of a model that carries no memory.

  Cost: one forward pass of every part more than `in_parts`.

  Args:
    by_row: `(params, batch, rng) -> (vectors [B, ...], other nats)`: what the loss
      reads of each row, and what is added to the loss.
    across: `(vectors, batch) -> summed nats` of a whole batch.
    parts: how many parts a batch is cut into.

  Returns:
    See `in_parts`.
  """

  def gradient(primals, memory, batch, rng):
    params, noise = primals
    xs = cut(batch, parts), cut(noise, parts)

    def read(primals, batch):
      params, noise = primals
      if noise is not None:
        batch = batch | {"noise": noise}
      return by_row(params, batch, rng)

    def read_part(_, xs):
      batch, noise = xs
      return None, read((params, noise), batch)[0]

    _, vectors = jax.lax.scan(read_part, None, xs)  # [P, B / P, ...]
    nats, cotangents = jax.value_and_grad(across)(join(vectors), batch)

    def pull_part(total, xs):
      # the part's activations are computed again: none were kept in the first pass
      (batch, noise), cotangents = xs
      (_, extra), vjp = jax.vjp(lambda p: read(p, batch), (params, noise))
      grads, noise_grads = vjp((cotangents, jnp.ones_like(extra)))[0]
      return jax.tree.map(jnp.add, total, (extra, grads)), noise_grads

    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    xs = xs, cut(cotangents, parts)
    (extra, grads), noise_grads = jax.lax.scan(pull_part, zeros, xs)
    return (nats + extra, memory), (grads, join(noise_grads))

  return gradient
