"""Ring attention: keys and values go round the devices, queries and their softmax stay.

Under a causal mask late queries read more keys than early ones. In zigzag order device
i has chunks i and 2 N - 1 - i of 2 N, an early and a late one, which balances the work:

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

from jaxmem.ops.attention_core import block_softmax
from jaxmem.ops.attention_core.scores import NOTHING
from jaxmem.ops.recurrence import scan


def _to_next(tree: Any, axis: str) -> Any:
  """Sends every device's tree to the next device of the ring."""
  count = jax.lax.axis_size(axis)
  permutation = [(i, (i + 1) % count) for i in range(count)]
  return jax.tree.map(lambda a: jax.lax.ppermute(a, axis, permutation), tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def softmax(axis: str, spec, q, k, v, params, queries, keys):
  """Computes `block_softmax.softmax` over the keys of all devices.

  Sends do not depend on the computation, so a device computes on one part of the keys
  while the next arrives. No device ever holds more than two parts.

  Args:
    axis: mesh axis of the ring.
    spec: see `block_softmax.forward`, as for the other arguments.
    q: queries of this device, in blocks.
    k: keys of this device, in blocks.
    v: values of this device, in blocks.
    params: of the bias.
    queries: where the queries lie, counted from the call's first token.
    keys: where the keys lie, counted alike.
  """
  return _fwd(axis, spec, q, k, v, params, queries, keys)[0]


def _fwd(axis, spec, q, k, v, params, queries, keys):
  dtype = scan.state_dtype(q.dtype)

  def read(carry, part):
    """Merges the softmax so far with that over one device's part of the keys."""
    y, lse = carry
    k, v, keys = part
    other, other_lse = block_softmax.forward(
      spec, q, k, v, params, queries, keys, out=dtype
    )
    total = jnp.logaddexp(lse, other_lse)
    weight, other_weight = (jnp.exp(a - total)[..., None] for a in (lse, other_lse))
    return y * weight + other * other_weight, total

  def hop(carry, _):
    part, so_far = carry
    return (_to_next(part, axis), read(so_far, part)), None

  part = k, v, keys._replace(length=None)
  nothing = (
    jnp.zeros((*q.shape[:-1], v.shape[-1]), dtype),
    jnp.full(q.shape[:-1], NOTHING, dtype),
  )
  hops = jax.lax.axis_size(axis) - 1
  (part, so_far), _ = jax.lax.scan(hop, (part, nothing), None, length=hops)
  y, lse = read(so_far, part)  # the last part need not be sent on
  y = y.astype(v.dtype)
  return (y, lse), (q, k, v, params, queries, keys, y, lse)


def _bwd(axis, spec, residuals, cotangents):
  *args, y, lse = residuals
  dy, dlse = cotangents
  q, k, v, params, queries, keys = args
  delta = block_softmax.inner(y, dy, dlse)

  def gradients(part):
    """Returns gradients by what stays (queries, params) and by what is sent (keys)."""
    k, v, keys = part
    dq, dk, dv, dparams, dquery, dkey = block_softmax.gradients(
      spec, q, k, v, params, queries, keys, dy, lse, delta
    )
    return (dq.astype(delta.dtype), dparams, dquery), (dk, dv, dkey)

  add = functools.partial(jax.tree.map, jnp.add)

  def hop(carry, _):
    part, by_query, by_key = carry
    # the previous device summed the gradients of these keys while it sent them
    sent, by_key = _to_next((part, by_key), axis)
    more_by_query, more_by_key = gradients(part)
    return (sent, add(by_query, more_by_query), add(by_key, more_by_key)), None

  part = k, v, keys._replace(length=None)
  sent = _to_next(part, axis)
  by_query, by_key = gradients(part)
  hops = jax.lax.axis_size(axis) - 2
  carry, _ = jax.lax.scan(hop, (sent, by_query, by_key), None, length=hops)
  part, by_query, by_key = carry
  by_key = _to_next(by_key, axis)
  more_by_query, more_by_key = gradients(part)
  dq, dparams, dquery = add(by_query, more_by_query)
  # one hop more brings the sums home to their keys
  dk, dv, dkey = _to_next(add(by_key, more_by_key), axis)
  return block_softmax.as_cotangents(*args, (dq, dk, dv, dparams, dquery, dkey))


softmax.defvjp(_fwd, _bwd)


def zigzag(tree: Any, axis: str) -> Any:
  """Deals tokens in order, [B, T, ...], so that every device has a chunk from each end.

  Args:
    tree: arrays of this device, whose T is even.
    axis: mesh axis of the ring; the call is inside `shard_map` over it.

  Returns:
    The same shapes: the early chunk first, then the late one.
  """
  is_odd = jax.lax.axis_index(axis) % 2 == 1
  even, odd = _routes(axis)

  def deal(a: Array) -> Array:
    first, second = jnp.split(a, 2, axis=1)
    first = jax.lax.ppermute(first, axis, even)
    second = jax.lax.ppermute(second, axis, odd)
    both = jnp.stack([first, second])  # [2, B, T / 2, ...]
    # the early chunk of an odd device has an odd number: it came by the second route
    first, second = jnp.where(is_odd, both[::-1], both)
    return jnp.concatenate([first, second], axis=1)

  return jax.tree.map(deal, tree)


def unzigzag(tree: Any, axis: str) -> Any:
  """Puts what `zigzag` has dealt in order again.

  Args:
    tree: arrays of this device, an early and a late chunk.
    axis: mesh axis of the ring; the call is inside `shard_map` over it.
  """
  is_odd = jax.lax.axis_index(axis) % 2 == 1
  even, odd = ([(b, a) for a, b in route] for route in _routes(axis))

  def collect(a: Array) -> Array:
    both = jnp.stack(jnp.split(a, 2, axis=1))  # [2, B, T / 2, ...]
    first, second = jnp.where(is_odd, both[::-1], both)
    first = jax.lax.ppermute(first, axis, even)
    second = jax.lax.ppermute(second, axis, odd)
    return jnp.concatenate([first, second], axis=1)

  return jax.tree.map(collect, tree)


def _routes(axis: str) -> tuple[list, list]:
  """Returns the permutations that deal the chunks 2 i, and the chunks 2 i + 1."""
  count = jax.lax.axis_size(axis)
  # device i holds the chunks i and 2 N - 1 - i
  holder = [min(chunk, 2 * count - 1 - chunk) for chunk in range(2 * count)]
  return list(enumerate(holder[::2])), list(enumerate(holder[1::2]))
