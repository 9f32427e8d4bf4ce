"""Softmax attention in blocks: memory linear in T, blocks that nobody sees untouched.

Source: Rabe and Staats 2021, arXiv:2112.05682 (online softmax over blocks); Dao et al.
2022, arXiv:2205.14135, section 3.1 and algorithm 4 (the reverse pass from y and the
log-sum-exp); skipping as in Dao 2023, arXiv:2307.08691.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.ops.attention_core import masks
from jaxmem.ops.attention_core.tokens import (
  Side,
  Tokens,
  extent,
  in_blocks,
  lead_in,
  pair_of,
  touched,
  visible,
)
from jaxmem.ops.recurrence import scan
from jaxmem.ops.recurrence.precision import einsum

# Where nothing is visible yet: finite, so that the difference of two is 0, not NaN.
NOTHING = -1e30


class Bias(NamedTuple):
  """What is added to the scores of a pair of blocks.

  Attributes:
    of: `(params, query, key, pair) -> [B, H, N, C, C]` or what broadcasts to it; a
      hashable object, so that equal ones compile once.
    params: a tree of arrays, whole in every block.
    query: a tree of arrays [B, T, ...], of which `of` is given a block [B, C, ...].
    key: a tree of arrays [B, S, ...], likewise.
  """

  of: Callable
  params: Any = ()
  query: Any = ()
  key: Any = ()


class Plan(NamedTuple):
  """What is fixed at trace time."""

  mask: masks.Mask
  bias: Callable | None
  scale: float
  cap: float | None


def attend(
  q: Float[Array, "B T A K"],
  k: Float[Array, "B S H K"],
  v: Float[Array, "B S H V"],
  queries: Tokens,
  keys: Tokens,
  mask: masks.Mask,
  bias: Bias | None = None,
  *,
  scale: float | None = None,
  cap: float | None = None,
  block_size: int = 128,
  engine: Callable | None = None,
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """Every query sees the keys of its own document that the mask shows it.

      y_t = sum_j p_tj v_j,   p_t = softmax_j(cap tanh(scale q_t . k_j / cap) + bias_tj)

  Cost: 2 (K + V) multiplies a pair and head of the blocks that any row of the batch
  sees anything of; the others are skipped. The reverse pass computes scores again and
  keeps y and one number a query.

  Args:
    q: queries, N a key head.
    k: keys.
    v: values.
    queries: where the queries lie.
    keys: where the keys lie.
    mask: who sees whom in a document.
    bias: added to the scores.
    scale: of the scores; None is K^-0.5.
    cap: bounds the scores before the bias; None does not.
    block_size: tokens of a block, C >= 1; neither T nor S need be a multiple.
    engine: what runs on the blocks, in the place of `_blocks`: a ring of devices.

  Returns:
    y in the dtype of v, 0 where a query sees nothing, and the log of the softmax's
    denominator, at least float32, NOTHING there.

  Raises:
    ValueError: if heads do not divide, or block_size < 1.
  """
  scan.check_chunk_size(block_size)
  length, (heads, key_dim), key_heads = q.shape[1], q.shape[2:], k.shape[2]
  if heads % key_heads:
    raise ValueError(f"{heads} query heads do not divide into {key_heads} key heads")
  size = min(block_size, length)
  # keys in front, so that blocks of queries meet blocks of keys
  lead = max(k.shape[1] - length, 0) % size and -(k.shape[1] - length) % size
  blocks = functools.partial(scan.to_chunks, chunk_size=size)
  k, v = (jnp.moveaxis(blocks(lead_in(a, lead)), 3, 2) for a in (k, v))
  q = blocks(q).reshape(-1, q.shape[0], size, key_heads, heads // key_heads, key_dim)
  q = jnp.moveaxis(q, 2, 4)  # [T/C, B, H, N, C, K]
  bias = Bias(None) if bias is None else bias
  scale = key_dim**-0.5 if scale is None else scale
  plan = Plan(mask, bias.of, scale, cap)
  y, lse = (engine or _blocks)(
    plan,
    q,
    k,
    v,
    bias.params,
    in_blocks(queries, bias.query, size, 0),
    in_blocks(keys, bias.key, size, lead),
  )
  back = lambda a: scan.from_chunks(
    jnp.moveaxis(a, 4, 2).reshape(a.shape[0], a.shape[1], size, heads, -1), length
  )
  return back(y), back(lse[..., None])[..., 0]


def _products(plan, q, k) -> Array:
  """[B, H, N, C, C], float32 or wider."""
  return plan.scale * einsum("bhnik,bhjk->bhnij", q, k, scan.state_dtype(q.dtype))


def _scores(plan, pair, s, params, query, key) -> Array:
  """What the softmax is of, from scaled products."""
  if plan.cap is not None:
    s = plan.cap * jnp.tanh(s / plan.cap)
  return s if plan.bias is None else s + plan.bias(params, query, key, pair)


def _at(tree: Any, j: Int[Array, ""]) -> Any:
  return jax.tree.map(lambda a: a[j], tree)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blocks(plan, q, k, v, params, queries, keys):
  return _forward(plan, q, k, v, params, queries, keys)[0]


def _forward(plan, q, k, v, params, queries, keys):
  y, lse = read(plan, q, k, v, params, queries, keys, v.dtype)
  return (y, lse), (q, k, v, params, queries, keys, y, lse)


def read(plan, q, k, v, params, queries, keys, out):
  """The forward pass: y in the dtype `out`, and the log of the denominator."""
  dtype = scan.state_dtype(q.dtype)
  rows = q.shape[1:-1]

  known = extent(keys)

  def one(_, xs):
    q_i, query, of = xs
    count, order = touched(plan.mask, of, known)

    def block(n, carry):
      top, total, y = carry
      j = order[n]
      key = _at(keys, j)
      pair = pair_of(query, key, rows[1:3])
      s = _products(plan, q_i, k[j])
      s = _scores(plan, pair, s, params, query.extra, key.extra)
      seen = visible(plan.mask, query, key, pair)
      new = jnp.maximum(top, jnp.where(seen, s, NOTHING).max(-1))
      p = jnp.where(seen, jnp.exp(s - new[..., None]), 0)
      shrink = jnp.exp(top - new)
      product = einsum("bhnij,bhjv->bhniv", p.astype(v.dtype), v[j], dtype)
      return new, total * shrink + p.sum(-1), y * shrink[..., None] + product

    start = (
      jnp.full(rows, NOTHING, dtype),
      jnp.zeros(rows, dtype),
      jnp.zeros((*rows, v.shape[-1]), dtype),
    )
    top, total, y = jax.lax.fori_loop(0, count, block, start)
    some = jnp.where(total > 0, total, 1)  # a query that sees nothing gets 0
    return None, ((y / some[..., None]).astype(out), top + jnp.log(some))

  return jax.lax.scan(one, None, (q, queries, extent(queries)))[1]


def _backward(plan, residuals, cotangents):
  *given, y, lse = residuals
  dy, dlse = cotangents
  return typed(given, gradients(plan, *given, dy, lse, inner(y, dy, dlse)))


def inner(y: Array, dy: Array, dlse: Array) -> Array:
  """sum_j p_ij dp_ij = y_i . dy_i, less what flows in through the log-sum-exp."""
  dtype = scan.state_dtype(dy.dtype)
  return (y.astype(dtype) * dy.astype(dtype)).sum(-1) - dlse


def typed(given: Sequence, grads: Sequence) -> tuple:
  """The results of `gradients` as the cotangents of what `_blocks` was given."""
  dq, dk, dv, dparams, dquery, dkey = grads
  q, k, v, params, queries, keys = given
  like = lambda grads, of: jax.tree.map(lambda g, a: g.astype(a.dtype), grads, of)
  side = lambda extra, of: Side(None, None, None, like(extra, of.extra))
  return (
    *like((dq, dk, dv, dparams), (q, k, v, params)),
    side(dquery, queries),
    side(dkey, keys),
  )


def gradients(plan, q, k, v, params, queries, keys, dy, lse, delta):
  """Of q, k, v, the bias's params, its query arrays and its key arrays.

  Args:
    plan: see `Plan`; it and the next six as `_blocks` has them.
    dy: [T/C, B, H, N, C, V].
    lse: of the whole softmax, of which these keys may be a part.
    delta: y . dy - dlse, of the whole softmax.
  """
  dtype = scan.state_dtype(q.dtype)
  zeros = lambda tree: jax.tree.map(
    lambda a: jnp.zeros(a.shape, scan.state_dtype(a.dtype)), tree
  )
  add = lambda sums, by: jax.tree.map(lambda a, b: a + b.astype(a.dtype), sums, by)

  known = extent(keys)

  def one(carry, xs):
    q_i, query, of, dy_i, lse_i, delta_i = xs
    count, order = touched(plan.mask, of, known)

    def block(n, carry):
      dq, dquery, dk, dv, dparams, dkey = carry
      j = order[n]
      key = _at(keys, j)
      pair = pair_of(query, key, q_i.shape[1:3])
      s = _products(plan, q_i, k[j])
      scores = functools.partial(_scores, plan, pair)
      s, pull = jax.vjp(scores, s, params, query.extra, key.extra)
      seen = visible(plan.mask, query, key, pair)
      p = jnp.where(seen, jnp.exp(s - lse_i[..., None]), 0)
      mm = functools.partial(einsum, dtype=dtype)
      dv = dv.at[j].add(mm("bhnij,bhniv->bhjv", p.astype(v.dtype), dy_i))
      dp = mm("bhniv,bhjv->bhnij", dy_i, v[j])
      ds, by_params, by_query, by_key = pull(p * (dp - delta_i[..., None]))
      ds = (plan.scale * ds).astype(q.dtype)
      dk = dk.at[j].add(mm("bhnij,bhnik->bhjk", ds, q_i))
      dq = dq + mm("bhnij,bhjk->bhnik", ds, k[j])
      dkey = jax.tree.map(lambda a, b: a.at[j].add(b.astype(a.dtype)), dkey, by_key)
      return dq, add(dquery, by_query), dk, dv, add(dparams, by_params), dkey

    start = (*zeros((q_i, query.extra)), *carry)
    dq, dquery, *carry = jax.lax.fori_loop(0, count, block, start)
    return tuple(carry), (dq.astype(q.dtype), dquery)

  start = zeros((k, v, params, keys.extra))
  carry, (dq, dquery) = jax.lax.scan(
    one, start, (q, queries, extent(queries), dy, lse, delta)
  )
  dk, dv, dparams, dkey = carry
  return dq, dk, dv, dparams, dquery, dkey


_blocks.defvjp(_forward, _backward)
