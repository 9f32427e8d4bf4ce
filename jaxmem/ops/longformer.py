"""Dilated window and global tokens, causal: the last tokens and the first are kept.

Source: Beltagy et al. 2020, arXiv:2004.05150, section 3.1 (sliding and dilated window,
global tokens with projections of their own) and 4.1 (a dilation a head, causal).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops import window
from jaxmem.ops.attention_core import cache, engine, scores
from jaxmem.ops.attention_core.masks import (
  ByFirst,
  ByRest,
  Causal,
  Dilated,
  First,
  Mask,
  Rest,
  Window,
)
from jaxmem.ops.attention_core.scores import ROTARY, Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.timeline import WHOLE, Timeline
from jaxmem.ops.recurrence import scan
from jaxmem.ops.window import State

TRANSITION = None
REVERSE_ONLY = ("parallel",)

# q, k, v, and where there are global tokens the same by their own projections.
Inputs_t = window.Inputs_t | tuple[
  Float[Array, "B A K"], Float[Array, "B H K"], Float[Array, "B H V"],
  Float[Array, "B A K"], Float[Array, "B H K"], Float[Array, "B H V"],
]  # fmt: skip
Inputs = window.Inputs | tuple[
  Float[Array, "B T A K"], Float[Array, "B T H K"], Float[Array, "B T H V"],
  Float[Array, "B T A K"], Float[Array, "B T H K"], Float[Array, "B T H V"],
]  # fmt: skip

Dilation = int | tuple[int, ...]


def near(size: int, dilation: Dilation, ahead: int = 0) -> Mask:
  """`size` tokens back, itself among them, and `ahead` forward, every d-th."""
  if dilation == 1:
    return Window(size, ahead)
  return Dilated(size, dilation, ahead)


def widest(dilation: Dilation) -> int:
  """The dilation of the head that sees farthest."""
  return dilation if isinstance(dilation, int) else max(dilation)


def reach(window_size: int, dilation: Dilation) -> int:
  """R, how many tokens back the farthest head sees, itself included."""
  return (window_size - 1) * widest(dilation) + 1


def init_state(
  batch_size: int,
  window_size: int,
  num_heads: int,
  key_dim: int,
  value_dim: int,
  num_global: int = 1,
  dilation: Dilation = 1,
  dtype=jnp.float32,
) -> State:
  """The empty memory; `num_heads` counts key heads.

  Slots 0..G-1 hold the document's first G tokens, the next G the same tokens by the
  global projections; the other R are a ring as in `window.State`. All keys are rotated
  by their positions in the document.
  """
  size = reach(window_size, dilation)
  return window.init_state(
    batch_size, size, num_heads, key_dim, value_dim, 2 * num_global, dtype
  )


def step(
  params: Params,
  inputs_t: Inputs_t,
  state: State,
  *,
  num_global: int = 1,
  dilation: Dilation = 1,
  score: Scores = ROTARY,
) -> tuple[Float[Array, "B A V"], State]:
  """One token, the p-th of its document.

      y_p = sum_j softmax_j(score(q_p, k_j, p - j)) v_j,
      j in {p, p - d, ..., p - (W - 1) d} or j < G, with dilation d of the head;
      for p < G the same over all j <= p, with q, k, v by the global projections

  Cost: (K + V)(R + 2 G) multiplies a head.

  Args:
    params: of the scores' bias and sink.
    inputs_t: q, N a key head, k and v; behind them the three of the global
      projections, where there are global tokens.
    state: what is remembered.
    num_global: G, how many first tokens of a document are global.
    dilation: d >= 1, one for all or one a query head.
    score: what the softmax is of.

  Returns:
    y_p in the dtype of v, and the state.
  """
  p, heads = state.position, (inputs_t[0].shape[1], inputs_t[1].shape[1])

  def rotate(x):  # [B, H, K]
    return score.rotate(x[:, None], p[:, None])[:, 0]

  q, k, v, *by_global = _rotated(inputs_t, rotate, num_global)
  first, ring = _split(state, num_global)
  ring = cache.write(ring, p, (k, v))
  size = ring[0].shape[1]
  age = cache.ages(p, size)  # [B, R]
  keys, values = ring
  position, is_token = p[:, None] - age, age <= p[:, None]
  if num_global:
    q_global, k_global, v_global = by_global
    first = cache.write_first(first, p, (k, v, k_global, v_global))
    slot = jnp.broadcast_to(scan.indices(num_global), (len(p), num_global))  # [B, G]
    keys = jnp.concatenate([first[0], keys], axis=1)  # [B, G + R, H, K]
    values = jnp.concatenate([first[1], values], axis=1)
    # a global token still in the ring is read from the slots of the first ones
    is_token = is_token & (position >= num_global)
    is_token = jnp.concatenate([slot <= p[:, None], is_token], axis=1)
    position = jnp.concatenate([slot, position], axis=1)
  pair = scores.pair(p, position, *heads)
  window_mask, first_mask, global_mask = _masks(size, num_global, dilation)
  seen = (window_mask | first_mask).allows(pair) & is_token[:, None, None, None]
  y = score.read(params, score.one(params, q, keys, pair, seen), values)  # [B, A, V]
  if num_global:
    pair = scores.pair(p, slot, *heads)
    seen = global_mask.allows(pair)
    s = score.one(params, q_global, first[2], pair, seen)  # [B, H, N, G]
    y_global = score.read(params, s, first[3])
    y = jnp.where((p < num_global)[:, None, None], y_global, y)
  return y, _state(first, ring, p + 1)


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  num_global: int = 1,
  dilation: Dilation = 1,
  score: Scores = ROTARY,
  block_size: int = 128,
  timeline: Timeline = WHOLE,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time. Cost: 2 (K + V) T (R + 2 C) multiplies a head:
  blocks between the window and the global tokens are skipped.

  Args:
    params: see `step`.
    inputs: as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    num_global: see `step`.
    dilation: see `step`.
    score: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    timeline: where the call's tokens lie.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1, or the global projections are missing.
  """
  queries = timeline.call(state.position, inputs[0].shape[1], reset)
  position = queries.in_document  # [B, T]

  def rotate(x):  # [B, T, H, K]
    return score.rotate(x, position)

  q, k, v, *by_global = _rotated(inputs, rotate, num_global)
  first, ring = _split(state, num_global)
  window_mask, first_mask, global_mask = _masks(ring[0].shape[1], num_global, dilation)
  spec = AttentionSpec(window_mask, score, block_size)
  y, lse = timeline.attend(spec, params, q, (k, v), queries, ring, state.position)
  ring, count = timeline.after(ring, (k, v), queries)
  if not num_global:
    return score.apply_attention_sink(params, y, lse), _state(first, ring, count)
  q_global, k_global, v_global = by_global
  kept = k, v, k_global, v_global
  (k, v, k_global, v_global), keys = timeline.sinks(first, kept, queries)  # [B, G + T]
  spec = AttentionSpec(first_mask, score, block_size)
  y_first = engine.attend(spec, params, q, (k, v), queries, keys)
  y, lse = scores.merge(y, lse, *y_first)
  spec = AttentionSpec(global_mask, score, block_size)
  kv = k_global, v_global
  y_global, lse_global = engine.attend(spec, params, q_global, kv, queries, keys)
  # where one of the two masks shows something, the other's y is 0
  y = score.apply_attention_sink(params, y, lse)
  y = y + score.apply_attention_sink(params, y_global, lse_global)
  first = timeline.last_sinks(first, kept, queries)
  return y, _state(first, ring, count)


AXES = window.AXES
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def _rotated(inputs: tuple, rotate: Callable, num_global: int) -> tuple:
  """The inputs with queries and keys rotated by their positions."""
  if len(inputs) != (6 if num_global else 3):
    raise ValueError(
      f"{len(inputs)} inputs with {num_global} global tokens: q, k and v, and with "
      "global tokens the three of their own projections"
    )
  return tuple(x if i % 3 == 2 else rotate(x) for i, x in enumerate(inputs))


def _masks(size: int, num_global: int, dilation: Dilation) -> tuple[Mask, Mask, Mask]:
  """What the other tokens see in a ring of `size`, what of the first, what these see.

  No key is in two masks of one query, so their softmaxes can be merged.
  """
  around = near((size - 1) // widest(dilation) + 1, dilation)
  if num_global:
    around = ByRest(num_global) & around & Rest(num_global)
  first = ByRest(num_global) & First(num_global)
  return Causal() & around, Causal() & first, Causal() & ByFirst(num_global)


def _split(state: State, num_global: int) -> tuple[tuple, tuple]:
  """The first tokens (k, v, and both by the global projections), and the ring."""
  cuts = [num_global, 2 * num_global]
  k, v = (jnp.split(a, cuts, axis=1) for a in state[:2])
  return (k[0], v[0], k[1], v[1]), (k[2], v[2])


def _state(first: tuple, ring: tuple, position: Array) -> State:
  """The inverse of `_split`."""
  joined = (jnp.concatenate([first[i], first[i + 2], ring[i]], 1) for i in (0, 1))
  return State(*joined, position)


def example(key: Array, batch_size: int, length: int):
  """A small random case, one row with a full ring: (params, inputs, state)."""
  return _with_global(window.example, key, batch_size, length)


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key throughout a window, position near 2^30."""
  return _with_global(window.stress, key, batch_size, length)


def _with_global(draw, key, batch_size, length):
  """A case of the window op, with a global token and its projections."""
  params, inputs, state = draw(key, batch_size, length)
  other = jax.random.fold_in(key, 1)
  _, by_global, early = window.example(other, batch_size, length)

  def slots(a, b):
    # the first token may still be in the ring: there too it is that token
    return jnp.concatenate([a[:, :1], b[:, :1], a], axis=1)

  k, v = (slots(a, b) for a, b in zip(state[:2], early[:2], strict=True))
  return params, (*inputs, *by_global), State(k, v, state.position)
