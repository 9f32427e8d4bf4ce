"""Softmax over blocks of keys, forward and backward: no array is T x T.

The forward pass keeps a running maximum, denominator and weighted sum for each query;
the backward pass computes the scores again from the log of the denominator.

Source: Rabe and Staats 2021, arXiv:2112.05682 (online softmax over blocks); Dao et al.
2022, arXiv:2205.14135, section 3.1 and algorithm 4 (the reverse pass from y and the
log-sum-exp); skipping as in Dao 2023, arXiv:2307.08691.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmem.ops.attention_core.scores import NOTHING
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import (
  TokenBlocks,
  add_at,
  block_at,
  block_bounds,
  keys_at,
  pair_of,
  to_visit,
  visible,
)
from jaxmem.ops.recurrence import scan
from jaxmem.ops.recurrence.precision import einsum


def _products(spec: AttentionSpec, q: Array, k: Array) -> Array:
  """Scaled products of two blocks, [B, H, N, C, C], float32 or wider."""
  dtype = scan.state_dtype(q.dtype)
  return spec.scores.factor(q) * einsum("bhnik,bhjk->bhnij", q, k, dtype)


def _scores(spec, pair, s, params, query_extra, key_extra) -> Array:
  """What the softmax is of, from scaled products [B, H, N, C, C]."""
  if spec.scores.cap is not None:
    s = spec.scores.cap * jnp.tanh(s / spec.scores.cap)
  if spec.scores.bias is None:
    return s
  return s + spec.scores.bias(params, query_extra, key_extra, pair)


def forward(
  spec: AttentionSpec,
  q: Array,
  k: Array,
  v: Array,
  params: Any,
  queries: TokenBlocks,
  keys: TokenBlocks,
  *,
  out: jnp.dtype | None = None,
  with_residuals: bool = False,
) -> tuple:
  """Every block of queries reads the blocks of keys that it may see.

  Args:
    spec: mask and scores.
    q: [T/C, B, H, N, C, K].
    k: [S/C, B, H, C, K].
    v: [S/C, B, H, C, V].
    params: of the bias, whole in every block.
    queries: where the queries lie, and what a bias reads of them.
    keys: the same of the keys.
    out: dtype of y; None is that of v.
    with_residuals: whether `backward`'s residuals are returned too.

  Returns:
    y [T/C, B, H, N, C, V], 0 where a query sees nothing, and the log of the
    denominator [T/C, B, H, N, C], NOTHING there.
  """
  dtype = scan.state_dtype(q.dtype)
  out = v.dtype if out is None else out
  rows = q.shape[1:-1]  # B, H, N, C
  key_bounds = block_bounds(keys)

  def query_block(_, xs):
    q_i, query, bounds = xs  # q_i: [B, H, N, C, K]
    count, order = to_visit(spec.mask, bounds, key_bounds, query.selected)

    def key_block(n, carry):
      top, total, y = carry  # [B, H, N, C], the same, [B, H, N, C, V]
      j = order[n]
      key = keys_at(keys, j)
      pair = pair_of(query, key, rows[1:3])
      s = _products(spec, q_i, block_at(k, j))  # [B, H, N, C, C]
      s = _scores(spec, pair, s, params, query.extra, key.extra)
      seen = visible(spec.mask, query, key, pair)
      # the maximum of seen scores alone: an unseen one may be huge, or NaN
      new = jnp.maximum(top, jnp.where(seen, s, NOTHING).max(-1))
      # masked again: where nothing is seen yet, new is NOTHING and the exp infinite
      p = jnp.where(seen, jnp.exp(s - new[..., None]), 0)
      shrink = jnp.exp(top - new)  # what was summed relative to the old maximum
      product = einsum("bhnij,bhjv->bhniv", p.astype(v.dtype), block_at(v, j), dtype)
      return new, total * shrink + p.sum(-1), y * shrink[..., None] + product

    start = (
      jnp.full(rows, NOTHING, dtype),
      jnp.zeros(rows, dtype),
      jnp.zeros((*rows, v.shape[-1]), dtype),
    )
    top, total, y = jax.lax.fori_loop(0, count, key_block, start)
    total = jnp.where(total > 0, total, 1)  # a query that sees nothing gets 0, not NaN
    return None, ((y / total[..., None]).astype(out), top + jnp.log(total))

  _, (y, lse) = jax.lax.scan(query_block, None, (q, queries, block_bounds(queries)))
  if with_residuals:
    return (y, lse), (q, k, v, params, queries, keys, y, lse)
  return y, lse


# `forward` with the reverse pass of `gradients`; spec is static.
softmax = jax.custom_vjp(forward, nondiff_argnums=(0,))


def _bwd(spec, residuals, cotangents):
  *args, y, lse = residuals
  dy, dlse = cotangents
  grads = gradients(spec, *args, dy, lse, inner(y, dy, dlse))
  return as_cotangents(*args, grads)


# The same function with a flag, not a second one: one call less in every traceback.
softmax.defvjp(functools.partial(forward, with_residuals=True), _bwd)


def inner(y: Array, dy: Array, dlse: Array) -> Array:
  """sum_j p_ij dp_ij = y_i . dy_i, less what flows in through the log-sum-exp."""
  dtype = scan.state_dtype(dy.dtype)
  return (y.astype(dtype) * dy.astype(dtype)).sum(-1) - dlse  # [T/C, B, H, N, C]


def as_cotangents(q, k, v, params, queries, keys, grads) -> tuple:
  """The results of `gradients` in the types of the arguments of `forward`.

  Gradients are summed in float32 or wider; where tokens lie has no gradient.
  """
  dq, dk, dv, dparams, dquery, dkey = grads

  def cast(grads, args):
    return jax.tree.map(lambda g, a: g.astype(a.dtype), grads, args)

  return (
    *cast((dq, dk, dv, dparams), (q, k, v, params)),
    TokenBlocks(None, None, None, cast(dquery, queries.extra)),
    TokenBlocks(None, None, None, cast(dkey, keys.extra)),
  )


def gradients(spec, q, k, v, params, queries, keys, dy, lse, delta) -> tuple:
  """The gradients of q, k, v, the bias's params, its query arrays and its key arrays.

  Args:
    spec: it and the next six are as in `forward`.
    q: see `forward`.
    k: see `forward`.
    v: see `forward`.
    params: see `forward`.
    queries: see `forward`.
    keys: see `forward`.
    dy: [T/C, B, H, N, C, V].
    lse: [T/C, B, H, N, C], of the whole softmax, of which these keys may be a part.
    delta: [T/C, B, H, N, C], y . dy - dlse, of the whole softmax.
  """
  dtype = scan.state_dtype(q.dtype)
  key_bounds = block_bounds(keys)

  def zeros(tree):
    return jax.tree.map(lambda a: jnp.zeros(a.shape, scan.state_dtype(a.dtype)), tree)

  def add(sums, parts):
    return jax.tree.map(lambda a, b: a + b.astype(a.dtype), sums, parts)

  def query_block(carry, xs):
    q_i, query, bounds, dy_i, lse_i, delta_i = xs
    count, order = to_visit(spec.mask, bounds, key_bounds, query.selected)

    def key_block(n, carry):
      dq, dquery, dk, dv, dparams, dkey = carry
      j = order[n]
      key = keys_at(keys, j)
      k_j, v_j = block_at((k, v), j)  # [B, H, C, K], [B, H, C, V]
      pair = pair_of(query, key, q_i.shape[1:3])
      s = _products(spec, q_i, k_j)  # [B, H, N, C, C]
      scores = functools.partial(_scores, spec, pair)
      # cap and bias have the gradients that JAX finds, block by block
      s, pull = jax.vjp(scores, s, params, query.extra, key.extra)
      seen = visible(spec.mask, query, key, pair)
      p = jnp.where(seen, jnp.exp(s - lse_i[..., None]), 0)
      mm = functools.partial(einsum, dtype=dtype)
      dv = add_at(dv, j, mm("bhnij,bhniv->bhjv", p.astype(v.dtype), dy_i))
      dp = mm("bhniv,bhjv->bhnij", dy_i, v_j)
      ds, by_params, by_query, by_key = pull(p * (dp - delta_i[..., None]))
      ds = (spec.scores.factor(q_i) * ds).astype(q.dtype)
      dk = add_at(dk, j, mm("bhnij,bhnik->bhjk", ds, q_i))
      dq = dq + mm("bhnij,bhjk->bhnik", ds, k_j)
      dkey = add_at(dkey, j, by_key)
      return dq, add(dquery, by_query), dk, dv, add(dparams, by_params), dkey

    start = (*zeros((q_i, query.extra)), *carry)
    dq, dquery, *carry = jax.lax.fori_loop(0, count, key_block, start)
    return tuple(carry), (dq.astype(q.dtype), dquery)

  start = zeros((k, v, params, keys.extra))
  xs = (q, queries, block_bounds(queries), dy, lse, delta)
  (dk, dv, dparams, dkey), (dq, dquery) = jax.lax.scan(query_block, start, xs)
  return dq, dk, dv, dparams, dquery, dkey
