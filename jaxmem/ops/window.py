"""Sliding-window causal attention: the memory is the last W keys and values.

Source: Beltagy et al. 2020, arXiv:2004.05150, section 3.1 (the window); Ainslie et al.
2023, arXiv:2305.13245 (grouped heads); Xiao et al. 2023, arXiv:2309.17453 (sinks).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.ops import rotary, scan
from jaxmem.ops.attention import NOTHING, interval_attention
from jaxmem.typing import Reset

TRANSITION = None
REVERSE_ONLY = ("parallel",)

Inputs_t = tuple[Float[Array, "B A K"], Float[Array, "B H K"], Float[Array, "B H V"]]
Inputs = tuple[
  Float[Array, "B T A K"], Float[Array, "B T H K"], Float[Array, "B T H V"]
]


class State(NamedTuple):
  """k, v: [B, M + W, H, .] in the dtype of the keys, unrotated; position: int32 [B].

  Slots 0..M-1 hold the sinks, the document's first M tokens; the other W are a ring in
  which the document's token p stands at slot M + p mod W. `position` counts the
  document's tokens so far and so says which slots hold anything.
  """

  k: Array
  v: Array
  position: Array


def init_state(
  batch_size: int,
  window_size: int,
  num_heads: int,
  key_dim: int,
  value_dim: int,
  num_sinks: int = 0,
  dtype=jnp.float32,
) -> State:
  """The empty memory; `num_heads` counts key heads."""
  shape = (batch_size, num_sinks + window_size, num_heads)
  return State(
    jnp.zeros((*shape, key_dim), dtype),
    jnp.zeros((*shape, value_dim), dtype),
    jnp.zeros((batch_size,), jnp.int32),
  )


def _grouped(q: Float[Array, "... H K"], key_heads: int) -> Array:
  """[..., A, K] -> [..., H, N, K]: the queries beside the key head they read."""
  return q.reshape(*q.shape[:-2], key_heads, -1, q.shape[-1])


def step(
  params: tuple[()],
  inputs_t: Inputs_t,
  state: State,
  *,
  num_sinks: int = 0,
  rotary_base: float | None = 10_000.0,
) -> tuple[Float[Array, "B A V"], State]:
  """One token, the p-th of its document.

      y_p = sum_j softmax_j(K^-0.5 q_p . R(-d_j) k_j) v_j,
      j in {p - W + 1, ..., p} with d_j = p - j, or j a sink before them with d_j = W

  R rotates by a distance (RoPE), so no absolute position enters: a document reads the
  same wherever it stands. Cost: 2 (K + V)(W + M) multiplies a head.

  Args:
    params: none.
    inputs_t: q, N a key head; k and v.
    state: what is remembered.
    num_sinks: M, how many of a document's first tokens stay visible for ever.
    rotary_base: base of the rotary angles; None for no positions at all.

  Returns:
    y_p in the dtype of v, and the state.
  """
  q, k, v = inputs_t
  p = state.position
  window = state.k.shape[1] - num_sinks
  rows = scan.indices(p.shape[0])
  ring = num_sinks + p % window
  # beyond the sinks the index lies outside the array and the write is dropped
  sink = jnp.where(p < num_sinks, p, num_sinks + window)
  write = lambda cache, x: (
    cache.at[rows, ring]
    .set(x.astype(cache.dtype))
    .at[rows, sink]
    .set(x.astype(cache.dtype), mode="drop")
  )
  state = State(write(state.k, k), write(state.v, v), p + 1)

  age = (p[:, None] - scan.indices(window)) % window
  past = p[:, None] - scan.indices(num_sinks)
  distance = jnp.concatenate([jnp.full_like(past, window), age], axis=1)
  seen = jnp.concatenate([past >= window, age <= p[:, None]], axis=1)

  dtype = scan.state_dtype(q.dtype)
  keys = state.k.astype(dtype)
  if rotary_base is not None:
    table = rotary.angles(scan.indices(window + 1), q.shape[-1], rotary_base, dtype)
    by = tuple(a[distance][:, :, None] for a in rotary.back(table))
    keys = rotary.rotate(keys, by)
  scores = jnp.einsum("bhnk,bwhk->bhnw", _grouped(q.astype(dtype), k.shape[1]), keys)
  scores = jnp.where(seen[:, None, None], scores * q.shape[-1] ** -0.5, NOTHING)
  y = jnp.einsum("bhnw,bwhv->bhnv", jax.nn.softmax(scores), state.v.astype(dtype))
  return y.reshape(*q.shape[:2], -1).astype(v.dtype), state


def parallel(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  num_sinks: int = 0,
  rotary_base: float | None = 10_000.0,
  block_size: int = 128,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time. Cost: 2 (K + V) T (W + C) multiplies a head; blocks
  outside the window or before the document are skipped, and nothing is T x T.

  Args:
    params: none.
    inputs: q, k, v as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    num_sinks: see `step`.
    rotary_base: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1.
  """
  q, k, v = inputs
  length = q.shape[1]
  window = state.k.shape[1] - num_sinks
  t = scan.indices(length)
  # where, as an index into [ring | call], the document of each token began; a document
  # from before the call began at W - position, perhaps long before the ring
  begun = window - state.position[:, None] + jnp.zeros_like(t)
  if reset is not None:
    newest = jax.lax.cummax(jnp.where(reset, window + t, -1), axis=1)
    begun = jnp.where(newest >= 0, newest, begun)

  in_order = (state.position[:, None] + scan.indices(window)) % window + num_sinks
  line = lambda cache, x: jnp.concatenate(
    [_take(cache, in_order).astype(x.dtype), x], 1
  )
  keys, values = line(state.k, k), line(state.v, v)
  first = jnp.maximum(begun, t + 1)  # the window of query t ends at W + t
  y, lse = interval_attention(
    q, keys, values, first, block_size=block_size, rotary_base=rotary_base
  )
  if num_sinks:
    sinks = _Sinks(state, keys, values, begun, num_sinks)
    y = _merge_sinks(q, y, lse, sinks, rotary_base)
  return y, _last_state(state, keys, values, begun[:, -1], num_sinks)


def _take(x: Array, index: Int[Array, "B ..."]) -> Array:
  """x[b, index[b, ...]] for x [B, S, ...]."""
  return jax.vmap(lambda row, i: row[i])(x, index)


class _Sinks(NamedTuple):
  state: State
  keys: Array  # [ring | call]
  values: Array
  begun: Array  # [B, T]
  num_sinks: int


def _sink_lines(sinks: _Sinks, begun: Int[Array, "B I"]) -> Int[Array, "B I M"]:
  """Where the sinks of a document that began at `begun` stand in [sinks | ring | call].

  The sinks in the state are those of the document that was under way before the call.
  """
  window = sinks.state.k.shape[1] - sinks.num_sinks
  slot = scan.indices(sinks.num_sinks)
  carried = begun[..., None] + slot < window
  line = sinks.num_sinks + begun[..., None] + slot
  return jnp.clip(jnp.where(carried, slot, line), 0, None)


def _merge_sinks(q, y, lse, sinks: _Sinks, rotary_base):
  """y with the document's first tokens in the softmax once out of the window."""
  num = sinks.num_sinks
  window = sinks.state.k.shape[1] - num
  dtype = lse.dtype
  lines = _sink_lines(sinks, sinks.begun)  # [B, T, M]
  gather = lambda cache, x: _take(
    jnp.concatenate([cache[:, :num].astype(x.dtype), x], 1), lines
  ).astype(dtype)
  k, v = gather(sinks.state.k, sinks.keys), gather(sinks.state.v, sinks.values)
  if rotary_base is not None:
    by = rotary.angles(
      jnp.full((1,), -window, jnp.int32), q.shape[-1], rotary_base, dtype
    )
    k = rotary.rotate(k, by)
  queries = _grouped(q.astype(dtype), k.shape[3])
  scores = jnp.einsum("bthnk,btmhk->bthnm", queries, k) * q.shape[-1] ** -0.5
  position = window + scan.indices(q.shape[1]) - sinks.begun
  seen = position[..., None] - scan.indices(num) >= window
  scores = jnp.where(seen[:, :, None, None], scores, NOTHING)
  lse = lse.reshape(scores.shape[:-1])
  top = jnp.maximum(lse, scores.max(-1))
  here = jnp.exp(lse - top)
  p = jnp.exp(scores - top[..., None])
  own = _grouped(y.astype(dtype), k.shape[3]) * here[..., None]
  total = own + jnp.einsum("bthnm,btmhv->bthnv", p, v)
  return (total / (here + p.sum(-1))[..., None]).reshape(y.shape).astype(y.dtype)


def _last_state(state, keys, values, begun, num_sinks) -> State:
  """The ring and the sinks after the last token, gathered from [ring | call]."""
  window = state.k.shape[1] - num_sinks
  end = keys.shape[1] - 1
  position = end - begun  # of the last token, in its document
  age = (position[:, None] - scan.indices(window)) % window
  line, some = end - age, age <= position[:, None]
  if num_sinks:
    sinks = _Sinks(state, keys, values, begun, num_sinks)
    at = _sink_lines(sinks, begun[:, None])[:, 0]
    line = jnp.concatenate([at, num_sinks + line], axis=1)
    known = scan.indices(num_sinks) <= position[:, None]
    some = jnp.concatenate([known, some], axis=1)

  def gather(cache, x):
    x = jnp.concatenate([cache[:, :num_sinks].astype(x.dtype), x], axis=1)
    x = _take(x, jnp.minimum(line, x.shape[1] - 1))
    return jnp.where(some[:, :, None, None], x, 0).astype(cache.dtype)

  return State(gather(state.k, keys), gather(state.v, values), position + 1)


FORMS = {"recurrent": scan.recurrent(step), "parallel": parallel}


def join(
  before: State, after: State, length: int, *, num_sinks: int = 0, **options
) -> State:
  """The state after two stretches of one document.

  Args:
    before: what the first stretch left.
    after: what the second one left in an empty memory.
    length: tokens of the second.
    num_sinks: see `step`; its other options do not matter here.
  """
  window = before.k.shape[1] - num_sinks
  p = before.position[:, None]  # the document's token with which `after` begins
  age = (p + length - 1 - scan.indices(window)) % window
  place = num_sinks + (length - 1 - age) % window
  new = age < length
  if num_sinks:
    sink = scan.indices(num_sinks)
    place = jnp.concatenate([jnp.clip(sink - p, 0), place], axis=1)
    new = jnp.concatenate([sink >= p, new], axis=1)

  def pick(old, held):
    return jnp.where(new[..., None, None], _take(held, place), old)

  position = before.position + length
  return State(pick(before.k, after.k), pick(before.v, after.v), position)


def example(key: Array, batch_size: int, length: int):
  """A small random case, one row with a full ring: (params, inputs, state)."""
  window, heads, group, dim = 5, 2, 2, 4
  q, k, v, past_k, past_v = jax.random.split(key, 5)
  shape = (batch_size, length, heads)
  inputs = (
    jax.random.normal(q, (batch_size, length, heads * group, dim)),
    jax.random.normal(k, (*shape, dim)),
    jax.random.normal(v, (*shape, dim)),
  )
  state = init_state(batch_size, window, heads, dim, dim)
  position = jnp.where(scan.indices(batch_size) % 2 == 0, 7, 3)
  held = (scan.indices(window) < position[:, None])[..., None, None]
  return (
    (),
    inputs,
    State(
      jnp.where(held, jax.random.normal(past_k, state.k.shape), 0),
      jnp.where(held, jax.random.normal(past_v, state.v.shape), 0),
      position,
    ),
  )


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key throughout a window, position near 2^30."""
  _, (q, k, v), state = example(key, batch_size, length)
  k = k.at[:, length // 2 :].set(k[:, :1])
  position = jnp.where(state.position > 5, 2**30, 3).astype(jnp.int32)
  return (), (50 * q, 10 * k, v), state._replace(position=position)
