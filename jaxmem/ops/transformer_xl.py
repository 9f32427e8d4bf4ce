"""Segment recurrence: attention to the own segment and to M tokens before it.

Source: Dai et al. 2019, arXiv:1901.02860, sections 3.2 and 3.3.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops import window
from jaxmem.ops.attention_core import cache, scores
from jaxmem.ops.attention_core.masks import Causal, Mask, Pair, PairBounds
from jaxmem.ops.attention_core.scores import Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.timeline import WHOLE, Timeline
from jaxmem.ops.recurrence import scan
from jaxmem.ops.window import Inputs, Inputs_t, State

TRANSITION = None
REVERSE_ONLY = ("parallel",)

Params = tuple[Float[Array, "A K"], Float[Array, "A K"], Float[Array, "W A K"]]


@dataclasses.dataclass(frozen=True)
class Segment(Mask):
  """The own segment of `size` tokens, counted from the document's first, both ways."""

  size: int

  def allows(self, pair: Pair) -> Array:
    return pair.query // self.size == pair.key // self.size

  def block_overlaps(self, bounds: PairBounds) -> Array:
    first, last = (x // self.size for x in bounds.query)
    low, high = (x // self.size for x in bounds.key)
    return (low <= last) & (first <= high)


@dataclasses.dataclass(frozen=True)
class Memory(Mask):
  """The `count` tokens before the own segment of `size`."""

  size: int
  count: int

  def allows(self, pair: Pair) -> Array:
    begin = pair.query // self.size * self.size
    return (pair.key < begin) & (pair.key >= begin - self.count)

  def block_overlaps(self, bounds: PairBounds) -> Array:
    first, last = (x // self.size * self.size for x in bounds.query)
    return (bounds.key.low < last) & (bounds.key.high >= first - self.count)


@dataclasses.dataclass(frozen=True)
class Relative:
  """q . r_d for the distance d of a pair: params (r [W, A, K],), query q [B, C, A, K].

  In a block distances are those of the first pair and their neighbours, so one product
  with 2 C - 1 rows of r gives all; a lone query looks up a row of r for every key.
  """

  def __call__(self, params: Any, query: Array, key: Any, pair: Pair) -> Array:
    (r,) = params
    # positions continue evenly, so the first pair of the first row gives all of a block
    distance = pair.distance[:, 0, 0]  # [B, C, S]
    size = distance.shape[-2]
    if size == 1:
      near = r[jnp.clip(distance[:, 0], 0, len(r) - 1)]  # [B, S, A, K]
      s = jnp.einsum("bak,bsak->bas", query[:, 0], near.astype(query.dtype))[:, :, None]
    else:
      offset = size - 1 - scan.indices(2 * size - 1)
      near = r[jnp.clip(distance[0, 0, 0] + offset, 0, len(r) - 1)]
      s = jnp.einsum("bcak,dak->bacd", query, near.astype(query.dtype))
      s = _slanted(s)  # [B, A, C, 2 C - 1] -> [B, A, C, C]
    return s.reshape(s.shape[0], *pair.head.shape[:2], *s.shape[2:])


def _slanted(s: Float[Array, "B A C E"]) -> Float[Array, "B A C C"]:
  """s[..., i, j - i + C - 1] at [i, j], for E = 2 C - 1.

  A row of the flat array that is one shorter than a row of s moves one to the left with
  every row: a reshape in the place of a gather.
  """
  size = s.shape[2]
  flat = s.reshape(*s.shape[:2], -1)[..., size - 1 :]
  rows = flat[..., : size * (2 * size - 2)].reshape(*s.shape[:3], -1)
  return rows[..., :size]


RELATIVE = Scores(rotary=None, bias=Relative())


def init_state(
  batch_size: int,
  segment_length: int,
  memory_length: int,
  num_heads: int,
  key_dim: int,
  value_dim: int,
  dtype=jnp.float32,
) -> State:
  """The empty memory: a ring of S + M keys and values; see `window.State`."""
  size = segment_length + memory_length
  return window.init_state(batch_size, size, num_heads, key_dim, value_dim, 0, dtype)


def _prepared(params: Params, q: Array) -> tuple[Array, Array]:
  """The query for content, and the scaled one for position, each with its bias."""
  content, position, _ = params
  wide = scan.state_dtype(q.dtype)
  scale = RELATIVE.factor(q)
  return q + content.astype(q.dtype), scale * (q.astype(wide) + position.astype(wide))


def step(
  params: Params,
  inputs_t: Inputs_t,
  state: State,
  *,
  segment_length: int = 0,
  through_memory: bool = False,
) -> tuple[Float[Array, "B A V"], State]:
  """One token, the p-th of its document, in a segment that begins at s = p - p mod S.

      y_p = sum_j softmax_j(K^-0.5 ((q_p + u) . k_j + (q_p + w) . r_{p-j})) v_j,
      s - M <= j <= p

  Segments are counted from the document's first token; keys of earlier segments give no
  gradient unless `through_memory`. Cost: 2 (2 K + V)(S + M) multiplies a head.

  Args:
    params: u and w, and r, a vector for every distance 0 .. S + M - 1.
    inputs_t: q, N a key head; k and v.
    state: what is remembered, S + M tokens.
    segment_length: S; 0 is half of S + M, rounded up.
    through_memory: whether gradients pass to earlier segments.

  Returns:
    y_p in the dtype of v, and the state.
  """
  q, k, v = inputs_t
  p, size = state.position, state.k.shape[1]
  length, memory = _lengths(state, segment_length)
  keys, values = ring = cache.write(tuple(state[:2]), p, (k, v))  # [B, S + M, H, .]
  age = cache.ages(p, size)  # [B, S + M]
  pair = scores.pair(p, p[:, None] - age, q.shape[1], k.shape[1])
  in_segment, seen = (mask(length, n).allows(pair)[:, 0, 0, 0] for n in (0, memory))
  if not through_memory:  # keys of earlier segments give no gradient
    keys, values = (
      cache.pick(in_segment, a, jax.lax.stop_gradient(a)) for a in (keys, values)
    )
  content, by_position = _prepared(params, q)  # [B, A, K] each
  seen &= age <= p[:, None]
  s = RELATIVE.one(params[2:], content, keys, pair, seen, by_position[:, None])
  return RELATIVE.read((), s, values), State(*ring, p + 1)


def _lengths(state: State, segment_length: int) -> tuple[int, int]:
  """S and M."""
  size = state.k.shape[1]
  segment_length = segment_length or -(-size // 2)
  return segment_length, size - segment_length


def mask(length: int, memory: int) -> Mask:
  """The own segment of `length` tokens and the `memory` tokens before it."""
  if not memory:
    return Causal() & Segment(length)
  return Causal() & (Segment(length) | Memory(length, memory))


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  segment_length: int = 0,
  through_memory: bool = False,
  block_size: int = 128,
  timeline: Timeline = WHOLE,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys; a segment is only a mask.

  Equal to `step` scanned over time. Cost: 2 (3 K + V) T (S / 2 + M + C) multiplies a
  head.

  Args:
    params: see `step`.
    inputs: q, k, v as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    segment_length: see `step`.
    through_memory: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    timeline: where the call's tokens lie.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1.
  """
  q, k, v = inputs
  length, memory = _lengths(state, segment_length)
  queries = timeline.call(state.position, q.shape[1], reset)
  kept, ring = (k, v), tuple(state[:2])
  content, by_position = _prepared(params, q)  # [B, T, A, K] each
  position, sink = state.position, params[2:]
  at_once = through_memory or not memory
  near = AttentionSpec(mask(length, memory if at_once else 0), RELATIVE, block_size)
  y, lse = timeline.attend(
    near, sink, content, kept, queries, ring, position, by_position
  )
  if not at_once:
    # earlier segments are read apart, so that gradients stop at these alone
    far = AttentionSpec(Memory(length, memory), RELATIVE, block_size)
    kept_far, ring_far = jax.lax.stop_gradient((kept, ring))
    y_far, lse_far = timeline.attend(
      far, sink, content, kept_far, queries, ring_far, position, by_position
    )
    y, _ = scores.merge(y, lse, y_far, lse_far)
  ring, count = timeline.after(ring, kept, queries)
  return y, State(*ring, count)


AXES = State(*[("batch", "window", "heads", None)] * 2, ("batch",))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def example(key: Array, batch_size: int, length: int):
  """A small random case, one row with a full ring: (params, inputs, state)."""
  _, inputs, state = window.example(key, batch_size, length)
  (heads, dim), size = inputs[0].shape[2:], state.k.shape[1]

  def draw(i, *shape):
    return jax.random.normal(jax.random.fold_in(key, i), shape)

  params = draw(1, heads, dim), draw(2, heads, dim), draw(3, size, heads, dim)
  return params, inputs, state


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key throughout, position near 2^30."""
  params, _, _ = example(key, batch_size, length)
  _, inputs, state = window.stress(key, batch_size, length)
  return params, inputs, state
