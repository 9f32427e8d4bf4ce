"""Full causal attention: the memory is every key and value of the document.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; Ainslie et al. 2023,
arXiv:2305.13245 (grouped heads).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Reset
from jaxmem.ops import window
from jaxmem.ops.attention_core.masks import Causal, Window
from jaxmem.ops.attention_core.scores import ROTARY, Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.timeline import WHOLE, Timeline
from jaxmem.ops.recurrence import scan
from jaxmem.ops.window import Inputs, Inputs_t, State

TRANSITION = None
REVERSE_ONLY = ("parallel",)
# Tokens that a document of `example` may have: the cache is of declared capacity.
LONGEST = 1024

__all__ = ["State"]


def init_state(
  batch_size: int,
  capacity: int,
  num_heads: int,
  key_dim: int,
  value_dim: int,
  dtype=jnp.float32,
) -> State:
  """The empty memory, for documents of up to `capacity` tokens; see `window.State`."""
  return window.init_state(
    batch_size, capacity, num_heads, key_dim, value_dim, 0, dtype
  )


def step(
  params: Params, inputs_t: Inputs_t, state: State, *, score: Scores = ROTARY
) -> tuple[Float[Array, "B A V"], State]:
  """One token, the p-th of its document.

      y_p = sum_j softmax_j(score(q_p, k_j, p - j)) v_j,   0 <= j <= p

  The token that finds the cache full, and all after it up to the next reset, get NaN:
  never the answer of a window. Cost: 2 (K + V) capacity multiplies a head.

  Args:
    params: see `window.step`.
    inputs_t: q, k, v as in `window.step`.
    state: what is remembered.
    score: what the softmax is of.

  Returns:
    y_p in the dtype of v, and the state.
  """
  position, capacity = state.position, state.k.shape[1]
  inputs_t = zero_beyond(inputs_t, position, capacity)
  y, new = window.step(params, inputs_t, state, score=score)
  return nan_beyond(y, position, capacity), new


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  score: Scores = ROTARY,
  block_size: int = 128,
  implementation: str = "auto",
  timeline: Timeline = WHOLE,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time. Cost: (K + V) T^2 multiplies a head for one
  document from the empty memory; memory linear in T.

  Args:
    params: see `step`.
    inputs: q, k, v as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    score: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    implementation: see `dispatch.choose`.
    timeline: where the call's tokens lie.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1, or an implementation refuses.
  """
  queries = timeline.call(state.position, inputs[0].shape[1], reset)
  position, capacity = queries.in_document, state.k.shape[1]  # [B, T]
  q, k, v = zero_beyond(inputs, position, capacity)
  # a window of the whole cache: nobody sees a slot that has been written over
  mask = Causal() & Window(capacity)
  spec = AttentionSpec(mask, score, block_size, implementation)
  kept, ring = (score.rotate(k, position), v), (state.k, state.v)
  rotated = score.rotate(q, position)
  y, lse = timeline.attend(spec, params, rotated, kept, queries, ring, state.position)
  ring, count = timeline.after(ring, kept, queries)
  y = score.apply_attention_sink(params, y, lse)
  return nan_beyond(y, position, capacity), State(*ring, count)


def zero_beyond(
  inputs: tuple, position: Int[Array, "..."], capacity: int
) -> tuple[Any, ...]:
  """The inputs, 0 where the token has no slot in the cache.

  A layer below has answered NaN there, and a NaN that is not seen, times 0, is NaN: it
  would reach the tokens before it and the next document.
  """
  fits = position < capacity  # [B] or [B, T]

  def zero(a):
    return jnp.where(fits.reshape(*fits.shape, *[1] * (a.ndim - fits.ndim)), a, 0)

  return tuple(zero(a) for a in inputs)


def nan_beyond(y: Array, position: Int[Array, "..."], capacity: int) -> Array:
  """y, NaN where the token has no slot in the cache."""
  return jnp.where((position < capacity)[..., None, None], y, jnp.nan)


# Their names before 0.2.
held, within = zero_beyond, nan_beyond

AXES = State(*[("batch", "slots", "heads", None)] * 2, ("batch",))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def example(key: Array, batch_size: int, length: int):
  """A small random case, every row with tokens kept: (params, inputs, state)."""
  params, inputs, _ = window.example(key, batch_size, length)
  heads, dim = inputs[1].shape[2:]
  empty = init_state(batch_size, min(length + 8, LONGEST), heads, dim, dim)
  position = jnp.where(scan.indices(batch_size) % 2 == 0, 7, 3)
  filled = (scan.indices(empty.k.shape[1]) < position[:, None])[..., None, None]
  past = (jax.random.normal(jax.random.fold_in(key, i), empty.k.shape) for i in (1, 2))
  return params, inputs, State(*(jnp.where(filled, a, 0) for a in past), position)


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key from the middle on."""
  params, (q, k, v), state = example(key, batch_size, length)
  k = k.at[:, length // 2 :].set(k[:, :1])
  return params, (50 * q, 10 * k, v), state
