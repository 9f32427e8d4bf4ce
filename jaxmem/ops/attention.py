"""Softmax attention in blocks: memory linear in T, empty blocks never touched.

Source: Rabe and Staats 2021, arXiv:2112.05682 (online softmax over blocks); Dao et al.
2022, arXiv:2205.14135, section 3.1 and algorithm 4 (the reverse pass from y and the
log-sum-exp); skipping as in Dao 2023, arXiv:2307.08691.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.ops import rotary, scan
from jaxmem.ops.precision import einsum

# Where nothing is visible yet: finite, so that the difference of two is 0, not NaN.
NOTHING = -1e30


class Plan(NamedTuple):
  """What is fixed at trace time."""

  offset: int  # key index of the first query; a multiple of size
  size: int  # tokens of a block, of queries and of keys
  rotary_base: float | None
  scale: float


def interval_attention(
  q: Float[Array, "B T A K"],
  k: Float[Array, "B S H K"],
  v: Float[Array, "B S H V"],
  first: Int[Array, "B T"],
  *,
  block_size: int = 128,
  rotary_base: float | None = None,
  scale: float | None = None,
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """Every query sees the keys from its `first` to its own place.

      y_t = sum_j p_tj v_j,   p_t = softmax_j(scale q_t . R(j - t) k_j),
      first_t <= j <= S - T + t

  Cost: 2 (K + V) multiplies a visible pair and head, in blocks; a block of keys that no
  row of the batch sees is skipped. The reverse pass computes scores again and keeps y
  and one number a query. Rotations are by distances within and between blocks, so they
  are exact at any length.

  Args:
    q: queries, N a key head; the queries are the last T of the S places.
    k: keys, unrotated.
    v: values.
    first: index of the first key a query sees; beyond its own place it sees nothing,
      and y is 0.
    block_size: tokens of a block, >= 1; neither T nor S need be a multiple.
    rotary_base: base of the rotary angles; None rotates nothing.
    scale: of the scores; None is K^-0.5.

  Returns:
    y in the dtype of v, and the log of the softmax's denominator, at least float32.

  Raises:
    ValueError: if there are more queries than keys, heads do not divide, or
      block_size < 1.
  """
  scan.check_chunk_size(block_size)
  (_, length, heads, key_dim), (_, keys, key_heads, _) = q.shape, k.shape
  if length > keys:
    raise ValueError(f"{length} queries for {keys} keys: a query is one of the places")
  if heads % key_heads:
    raise ValueError(f"{heads} query heads do not divide into {key_heads} key heads")
  size = min(block_size, length)
  lead = -(keys - length) % size  # keys in front, so that query blocks meet key blocks
  front = ((0, 0), (lead, 0), (0, 0), (0, 0))
  k, v = (scan.to_chunks(jnp.pad(a, front), size) for a in (k, v))
  k, v = (jnp.moveaxis(a, 3, 2) for a in (k, v))  # [S/C, B, H, C, K]
  # queries of padding see themselves, so that no block is empty
  first = scan.pad_time(first + lead, size)
  place = keys - length + lead + scan.indices(first.shape[1])
  first = jnp.where(scan.indices(first.shape[1]) < length, first, place)
  q = scan.to_chunks(q, size).reshape(
    -1, q.shape[0], size, key_heads, heads // key_heads, key_dim
  )
  q = jnp.moveaxis(q, 2, 4)  # [T/C, B, H, N, C, K]
  first = first.reshape(first.shape[0], -1, size).swapaxes(0, 1)
  scale = key_dim**-0.5 if scale is None else scale
  if rotary_base is not None:
    by = rotary.angles(
      scan.indices(size), key_dim, rotary_base, scan.state_dtype(q.dtype)
    )
    q, k = rotary.rotate(q, by), rotary.rotate(k, by)
  plan = Plan(keys - length + lead, size, rotary_base, scale)
  y, lse = _blocks(plan, q, k, v, first)
  back = lambda a: scan.from_chunks(
    jnp.moveaxis(a, 4, 2).reshape(a.shape[0], a.shape[1], size, heads, -1), length
  )
  return back(y), back(lse[..., None])[..., 0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blocks(plan, q, k, v, first):
  return _forward(plan, q, k, v, first)[0]


def _turn(plan, q, blocks):
  """Query blocks, rotated further by a number of whole blocks."""
  if plan.rotary_base is None:
    return q, None
  by = rotary.angles(
    blocks * plan.size, q.shape[-1], plan.rotary_base, scan.state_dtype(q.dtype)
  )
  return rotary.rotate(q, by), by


def _visible(plan, first, i, j):
  """[B, 1, 1, C, C]: which keys of block j the queries of block i see."""
  place = plan.offset + i * plan.size + scan.indices(plan.size)
  key = j * plan.size + scan.indices(plan.size)
  seen = (key >= first[:, :, None]) & (key <= place[:, None])
  return seen[:, None, None]


def _bounds(plan, first, i):
  """The blocks of keys that some query of block i may see."""
  own = i + plan.offset // plan.size
  return jnp.clip(first.min() // plan.size, 0, own), own + 1


def _scores(plan, q, k_j):
  """[B, H, N, C, C], float32 or wider."""
  return plan.scale * einsum("bhnik,bhjk->bhnij", q, k_j, scan.state_dtype(q.dtype))


def _forward(plan, q, k, v, first):
  dtype = scan.state_dtype(q.dtype)
  rows = q.shape[1:-1]

  def queries(_, xs):
    i, q_i, first_i = xs

    def keys(j, carry):
      top, total, y = carry
      turned, _ = _turn(plan, q_i, i + plan.offset // plan.size - j)
      s = _scores(plan, turned, k[j])
      seen = _visible(plan, first_i, i, j)
      new = jnp.maximum(top, jnp.where(seen, s, NOTHING).max(-1))
      p = jnp.where(seen, jnp.exp(s - new[..., None]), 0)
      shrink = jnp.exp(top - new)
      product = einsum("bhnij,bhjv->bhniv", p.astype(v.dtype), v[j], dtype)
      y = y * shrink[..., None] + product
      return new, total * shrink + p.sum(-1), y

    start = (
      jnp.full(rows, NOTHING, dtype),
      jnp.zeros(rows, dtype),
      jnp.zeros((*rows, v.shape[-1]), dtype),
    )
    top, total, y = jax.lax.fori_loop(*_bounds(plan, first_i, i), keys, start)
    some = jnp.where(total > 0, total, 1)  # a query that sees nothing gets 0
    return None, ((y / some[..., None]).astype(v.dtype), top + jnp.log(some))

  xs = (scan.indices(q.shape[0]), q, first)
  _, (y, lse) = jax.lax.scan(queries, None, xs)
  return (y, lse), (q, k, v, first, y, lse)


def _backward(plan, residuals, cotangents):
  q, k, v, first, y, lse = residuals
  dy, dlse = cotangents
  dtype = scan.state_dtype(q.dtype)
  # sum_j p_ij dp_ij = y_i . dy_i, less what flows in through the log-sum-exp
  delta = (y.astype(dtype) * dy.astype(dtype)).sum(-1) - dlse
  add = lambda a, j, x: a.at[j].add(x)

  def queries(carry, xs):
    i, q_i, first_i, dy_i, lse_i, delta_i = xs

    def keys(j, carry):
      dq, dk, dv = carry
      turned, by = _turn(plan, q_i, i + plan.offset // plan.size - j)
      s = _scores(plan, turned, k[j])
      seen = _visible(plan, first_i, i, j)
      p = jnp.where(seen, jnp.exp(s - lse_i[..., None]), 0)
      mm = functools.partial(einsum, dtype=dtype)
      dv = add(dv, j, mm("bhnij,bhniv->bhjv", p.astype(v.dtype), dy_i))
      dp = mm("bhniv,bhjv->bhnij", dy_i, v[j])
      ds = (plan.scale * p * (dp - delta_i[..., None])).astype(q.dtype)
      dk = add(dk, j, mm("bhnij,bhnik->bhjk", ds, turned))
      dturned = mm("bhnij,bhjk->bhnik", ds, k[j])
      dq = dq + (dturned if by is None else rotary.rotate(dturned, rotary.back(by)))
      return dq, dk, dv

    start = (jnp.zeros(q_i.shape, dtype), *carry)
    dq, dk, dv = jax.lax.fori_loop(*_bounds(plan, first_i, i), keys, start)
    return (dk, dv), dq.astype(q.dtype)

  zeros = (jnp.zeros(k.shape, dtype), jnp.zeros(v.shape, dtype))
  xs = (scan.indices(q.shape[0]), q, first, dy, lse, delta)
  (dk, dv), dq = jax.lax.scan(queries, zeros, xs)
  return dq, dk.astype(k.dtype), dv.astype(v.dtype), None


_blocks.defvjp(_forward, _backward)
