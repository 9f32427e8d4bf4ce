"""Sliding-window causal attention: the memory is the last W keys and values.

Source: Beltagy et al. 2020, arXiv:2004.05150, section 3.1 (the window); Ainslie et al.
2023, arXiv:2305.13245 (grouped heads); Xiao et al. 2023, arXiv:2309.17453 (sinks).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.attention_core import cache, engine, scores
from jaxmem.ops.attention_core.masks import Beyond, Causal, First, Window
from jaxmem.ops.attention_core.scores import ROTARY, Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.timeline import WHOLE, Timeline
from jaxmem.ops.recurrence import scan

TRANSITION = None
REVERSE_ONLY = ("parallel",)

Inputs_t = tuple[Float[Array, "B A K"], Float[Array, "B H K"], Float[Array, "B H V"]]
Inputs = tuple[
  Float[Array, "B T A K"], Float[Array, "B T H K"], Float[Array, "B T H V"]
]


class State(NamedTuple):
  """k, v: [B, M + W, H, .] in the dtype of the keys; position: int32 [B].

  Slots 0..M-1 hold the sinks, the document's first M tokens, unrotated; the other W are
  a ring in which the document's token p stands at slot M + p mod W, its key rotated by
  p. `position` counts the document's tokens so far: it says which slots hold anything.
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
  """Returns the empty memory; `num_heads` counts key heads."""
  shape = (batch_size, num_sinks + window_size, num_heads)
  return State(
    jnp.zeros((*shape, key_dim), dtype),
    jnp.zeros((*shape, value_dim), dtype),
    jnp.zeros((batch_size,), jnp.int32),
  )


def step(
  params: Params,
  inputs_t: Inputs_t,
  state: State,
  *,
  num_sinks: int = 0,
  score: Scores = ROTARY,
) -> tuple[Float[Array, "B A V"], State]:
  """Computes one token, the p-th of its document.

      y_p = sum_j softmax_j(score(q_p, k_j, d_j)) v_j,
      j in {p - W + 1, ..., p} with d_j = p - j, or j a sink before them with d_j = W

  A score is K^-0.5 q_p . R(-d_j) k_j with the rotation R (RoPE), plus the bias of
  `score`. No absolute position enters: a document reads the same wherever it stands.
  Cost: 2 (K + V)(W + M) multiplies a head.

  Args:
    params: of the bias and the learned sink of `score`; empty where it has neither.
    inputs_t: q of A = N H query heads, N for each key head; k and v.
    state: memory before the token.
    num_sinks: M, how many of a document's first tokens stay visible for ever.
    score: how scores are computed from queries and keys.

  Returns:
    y_p in the dtype of v, and the memory after the token.
  """
  q, k, v = inputs_t
  p, window = state.position, state.k.shape[1] - num_sinks

  def rotate(x, position):  # [B, H, K] by [B]
    return score.rotate(x[:, None], position[:, None])[:, 0]

  keys, values = cache.write(_ring(state, num_sinks), p, (rotate(k, p), v))
  age = cache.ages(p, window)  # [B, W]
  heads = q.shape[1], k.shape[1]
  pair = scores.pair(p, p[:, None] - age, *heads)
  s = score.one(params, rotate(q, p), keys, pair, age <= p[:, None])  # [B, H, N, W]
  if num_sinks:
    first = tuple(a[:, :num_sinks] for a in state[:2])
    first_keys, first_values = cache.write_first(first, p, (k, v))  # [B, M, H, .]
    slot = scan.indices(num_sinks)
    # sinks are kept unrotated, and read as if they stood at a distance of W
    far = jnp.broadcast_to(p[:, None] - window, (len(p), num_sinks))
    pair = scores.pair(p, far, *heads)
    q_far = rotate(q, jnp.full_like(p, window))
    left_window = p[:, None] - slot >= window
    s_first = score.one(params, q_far, first_keys, pair, left_window)
    s = jnp.concatenate([s_first, s], -1)  # [B, H, N, M + W]
    keys = jnp.concatenate([first_keys, keys], axis=1)
    values = jnp.concatenate([first_values, values], axis=1)
  return score.read(params, s, values), State(keys, values, p + 1)


def _ring(state: State, num_sinks: int) -> tuple[Array, Array]:
  """Returns the last W keys and values, without the sinks."""
  return state.k[:, num_sinks:], state.v[:, num_sinks:]


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  num_sinks: int = 0,
  score: Scores = ROTARY,
  block_size: int = 128,
  implementation: str = "auto",
  timeline: Timeline = WHOLE,
) -> tuple[Float[Array, "B T A V"], State]:
  """Computes all tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time. Cost: 2 (K + V) T (W + C) multiplies a head; blocks
  outside the window or before the document are skipped, and nothing is T x T.

  Args:
    params: see `step`.
    inputs: q, k, v as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    num_sinks: see `step`.
    score: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    implementation: see `dispatch.choose`.
    timeline: where the call's tokens lie: on this device, or over several.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1, or an implementation refuses.
  """
  q, k, v = inputs
  window = state.k.shape[1] - num_sinks
  queries = timeline.call(state.position, q.shape[1], reset)
  position = queries.in_document  # [B, T]
  spec = AttentionSpec(
    Causal() & Window(window), score, block_size, implementation, num_sinks > 0
  )
  ring = _ring(state, num_sinks)
  kept = score.rotate(k, position), v
  rotated = score.rotate(q, position)
  y, lse = timeline.attend(spec, params, rotated, kept, queries, ring, state.position)
  ring, count = timeline.after(ring, kept, queries)
  if num_sinks:
    first = tuple(a[:, :num_sinks] for a in state[:2])  # [B, M, H, .]
    mask = Causal() & First(num_sinks) & Beyond(window)
    spec = AttentionSpec(mask, score.at_most(window), block_size)
    # sinks are kept unrotated, and read as if they stood at a distance of W
    rotated = score.rotate(q, jnp.full_like(position, window))
    # they are few: every device reads its own
    kept, keys = timeline.sinks(first, (k, v), queries)  # [B, M + T, H, .]
    far = engine.attend(spec, params, rotated, kept, queries, keys)
    y, lse = scores.merge(y, lse, *far)
    first = timeline.last_sinks(first, (k, v), queries)
    k, v = (jnp.concatenate(a, 1) for a in zip(first, ring, strict=True))
    ring = k, v
  return score.apply_attention_sink(params, y, lse), State(*ring, count)


AXES = State(*[("batch", "window", "heads", None)] * 2, ("batch",))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case, one row with a full ring: (params, inputs, state)."""
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
  filled = (scan.indices(window) < position[:, None])[..., None, None]
  return (
    (),
    inputs,
    State(
      jnp.where(filled, jax.random.normal(past_k, state.k.shape), 0),
      jnp.where(filled, jax.random.normal(past_v, state.v.shape), 0),
      position,
    ),
  )


def stress(key: Array, batch_size: int, length: int):
  """Returns a hard case: scores of several hundred, repeated keys, late positions."""
  _, (q, k, v), state = example(key, batch_size, length)
  k = k.at[:, length // 2 :].set(k[:, :1])
  position = jnp.where(state.position > 5, 2**30, 3).astype(jnp.int32)
  return (), (50 * q, 10 * k, v), state._replace(position=position)
