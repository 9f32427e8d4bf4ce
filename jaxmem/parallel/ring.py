"""Ring attention: keys and values go round the devices, queries and their softmax stay.

Under a causal mask late tokens have more to do than early ones. In zigzag order device
i has chunks i and 2 N - 1 - i of 2 N, an early and a late one, and all have the same:

    chunk     0   1   2   3   4   5   6   7
    device    0   1   2   3   3   2   1   0

Source: Liu et al. 2023, arXiv:2310.01889 (the ring, and its overlap with compute);
Brandon et al. 2023, arXiv:2311.09431 (balance for causal masks).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmem.ops.attention_core import blockwise
from jaxmem.ops.attention_core.blockwise import NOTHING
from jaxmem.ops.recurrence import scan


def _on(tree: Any, axis: str) -> Any:
  """Every device's tree to the next one."""
  count = jax.lax.axis_size(axis)
  to = [(i, (i + 1) % count) for i in range(count)]
  return jax.tree.map(lambda a: jax.lax.ppermute(a, axis, to), tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def attend(axis: str, plan, q, k, v, params, queries, keys):
  """`blockwise.attend` on blocks, over the keys of all devices.

  What is sent does not wait for what is computed, so a device computes on one part of
  the keys while the next arrives. No device ever holds more than two parts.

  Args:
    axis: of the mesh.
    plan: it and the others as the engine of blocks has them; q, k, v and tokens are
      those of this device, at places counted from the call's first token.
  """
  return _forward(axis, plan, q, k, v, params, queries, keys)[0]


def _forward(axis, plan, q, k, v, params, queries, keys):
  dtype = scan.state_dtype(q.dtype)

  def read(carry, held):
    y, lse = carry
    k, v, keys = held
    other, other_lse = blockwise.read(plan, q, k, v, params, queries, keys, dtype)
    total = jnp.logaddexp(lse, other_lse)
    part = lambda y, lse: y * jnp.exp(lse - total)[..., None]
    return part(y, lse) + part(other, other_lse), total

  def hop(carry, _):
    held, done = carry
    return (_on(held, axis), read(done, held)), None

  held = k, v, keys._replace(length=None)
  done = (
    jnp.zeros((*q.shape[:-1], v.shape[-1]), dtype),
    jnp.full(q.shape[:-1], NOTHING, dtype),
  )
  hops = jax.lax.axis_size(axis) - 1
  (held, done), _ = jax.lax.scan(hop, (held, done), None, length=hops)
  y, lse = read(done, held)
  y = y.astype(v.dtype)
  return (y, lse), (q, k, v, params, queries, keys, y, lse)


def _backward(axis, plan, residuals, cotangents):
  *given, y, lse = residuals
  dy, dlse = cotangents
  q, k, v, params, queries, keys = given
  delta = blockwise.inner(y, dy, dlse)

  def pull(held):
    k, v, keys = held
    grads = blockwise.gradients(plan, q, k, v, params, queries, keys, dy, lse, delta)
    dq, dk, dv, dparams, dquery, dkey = grads
    return (dq.astype(delta.dtype), dparams, dquery), (dk, dv, dkey)

  add = functools.partial(jax.tree.map, jnp.add)

  def hop(carry, _):
    held, here, theirs = carry
    # the sums for these keys were made one device before, while they were sent
    sent, theirs = _on((held, theirs), axis)
    by_query, by_key = pull(held)
    return (sent, add(here, by_query), add(theirs, by_key)), None

  held = k, v, keys._replace(length=None)
  sent = _on(held, axis)
  here, theirs = pull(held)
  hops = jax.lax.axis_size(axis) - 2
  carry, _ = jax.lax.scan(hop, (sent, here, theirs), None, length=hops)
  held, here, theirs = carry
  theirs = _on(theirs, axis)
  by_query, by_key = pull(held)
  (dq, dparams, dquery), theirs = add(here, by_query), add(theirs, by_key)
  dk, dv, dkey = _on(theirs, axis)
  return blockwise.typed(given, (dq, dk, dv, dparams, dquery, dkey))


attend.defvjp(_forward, _backward)


def _owner(chunk: int, count: int) -> int:
  """The device that has a chunk of 2 N in zigzag order."""
  return min(chunk, 2 * count - 1 - chunk)


def zigzag(tree: Any, axis: str) -> Any:
  """Deals tokens in order, [B, T, ...], so that every device has a chunk from each end.

  Args:
    tree: arrays of this device, whose T is even.
    axis: of the mesh; inside `shard_map` over it.

  Returns:
    The same shapes: the early chunk first, then the late one.
  """
  count, is_odd = jax.lax.axis_size(axis), jax.lax.axis_index(axis) % 2 == 1
  # device i holds chunks 2 i and 2 i + 1; a permutation takes one from each device
  even = [(i, _owner(2 * i, count)) for i in range(count)]
  odd = [(i, _owner(2 * i + 1, count)) for i in range(count)]

  def deal(a: Array) -> Array:
    first, second = jnp.split(a, 2, axis=1)
    first = jax.lax.ppermute(first, axis, even)
    second = jax.lax.ppermute(second, axis, odd)
    both = jnp.stack([first, second])  # [2, B, T / 2, ...]
    # an odd device gets its early chunk, which has an odd number, by the second
    first, second = jnp.where(is_odd, both[::-1], both)
    return jnp.concatenate([first, second], axis=1)

  return jax.tree.map(deal, tree)


def unzigzag(tree: Any, axis: str) -> Any:
  """Puts what `zigzag` has dealt in order again.

  Args:
    tree: arrays of this device, an early and a late chunk.
    axis: of the mesh; inside `shard_map` over it.
  """
  count, is_odd = jax.lax.axis_size(axis), jax.lax.axis_index(axis) % 2 == 1
  even = [(_owner(2 * i, count), i) for i in range(count)]
  odd = [(_owner(2 * i + 1, count), i) for i in range(count)]

  def collect(a: Array) -> Array:
    both = jnp.stack(jnp.split(a, 2, axis=1))  # [2, B, T / 2, ...]
    first, second = jnp.where(is_odd, both[::-1], both)
    first = jax.lax.ppermute(first, axis, even)
    second = jax.lax.ppermute(second, axis, odd)
    return jnp.concatenate([first, second], axis=1)

  return jax.tree.map(collect, tree)


deal, collect = zigzag, unzigzag  # their names before 0.2
