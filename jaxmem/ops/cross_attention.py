"""Softmax attention to a memory that is given: an encoder's keys and values.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.attention_core import engine, scores
from jaxmem.ops.attention_core.masks import Document
from jaxmem.ops.attention_core.scores import Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import NOWHERE, Tokens
from jaxmem.ops.recurrence import scan

TRANSITION = None
REVERSE_ONLY = ("parallel",)

# Between two sequences there is no distance: no rotation, and no bias by distance.
PLAIN = Scores(rotary=None)

Inputs_t = tuple[Float[Array, "B A K"]]
Inputs = tuple[Float[Array, "B T A K"]]


class State(NamedTuple):
  """k, v: [B, S, H, .]; count: int32 [B], how many first ones of them are tokens."""

  k: Array
  v: Array
  count: Array  # type: ignore[assignment] # no method of tuples


def init_state(
  batch_size: int,
  memory_size: int,
  num_heads: int,
  key_dim: int,
  value_dim: int,
  dtype=jnp.float32,
) -> State:
  """The empty memory, of which 0 is read; `num_heads` counts key heads."""
  shape = (batch_size, memory_size, num_heads)
  return State(
    jnp.zeros((*shape, key_dim), dtype),
    jnp.zeros((*shape, value_dim), dtype),
    jnp.zeros((batch_size,), jnp.int32),
  )


def step(
  params: Params, inputs_t: Inputs_t, state: State, *, score: Scores = PLAIN
) -> tuple[Float[Array, "B A V"], State]:
  """One token reads the memory and leaves it as it is.

      y = sum_j softmax_j(score(q, k_j)) v_j,   j < count;   0 where count is 0

  Cost: (K + V) S multiplies a head.

  Args:
    params: of the scores' sink.
    inputs_t: q, N a key head.
    state: what is remembered.
    score: what the softmax is of; without positions.

  Returns:
    y in the dtype of q, and the state.
  """
  (q,) = inputs_t
  k, v, count = state
  heads, key_heads = q.shape[1], k.shape[2]
  slot = jnp.broadcast_to(scan.indices(k.shape[1]), k.shape[:2])  # [B, S]
  pair = scores.pair(jnp.zeros_like(count), slot, heads, key_heads)
  s = score.one(params, q, k, pair, slot < count[:, None])  # [B, H, N, S]
  y = score.read(params, s, v).astype(q.dtype)
  # a softmax over nothing is uniform: the empty memory reads as 0
  return jnp.where((count > 0)[:, None, None], y, 0), state


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  score: Scores = PLAIN,
  block_size: int = 128,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time: from a reset on there is nothing to read.

  Args:
    params: see `step`.
    inputs: q as in `step`.
    state: what is remembered.
    reset: True on the first token of a document.
    score: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of q, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1.
  """
  (q,) = inputs
  slot = jnp.broadcast_to(scan.indices(state.k.shape[1]), state.k.shape[:2])
  # the memory is one document, that of every query before the first reset
  keys = Tokens(slot, jnp.where(slot < state.count[:, None], 0, NOWHERE))
  start = jnp.zeros(q.shape[:2], jnp.int32)
  if reset is not None:
    start = jnp.where(scan.documents(reset) == 0, 0, NOWHERE)
  queries = Tokens(jnp.zeros_like(start), start)  # [B, T]
  spec = AttentionSpec(Document(), score, block_size)
  kv = tuple(a.astype(q.dtype) for a in state[:2])  # [B, S, H, .]
  y, lse = engine.attend(spec, params, q, kv, queries, keys)
  if reset is not None:
    state = scan.forget(state, reset.any(axis=1))
  return score.apply_attention_sink(params, y, lse), state


AXES = State(*[("batch", "slots", "heads", None)] * 2, ("batch",))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def join(before: State, after: State, length: int, *, score: Scores = PLAIN) -> State:
  """The state after two stretches of one document: that before them."""
  return before


def example(key: Array, batch_size: int, length: int):
  """A small random case, every other row with a slot to spare."""
  memory, heads, group, dim = 5, 2, 2, 4
  q, k, v = jax.random.split(key, 3)
  inputs = (jax.random.normal(q, (batch_size, length, heads * group, dim)),)
  shape = (batch_size, memory, heads, dim)
  count = memory - scan.indices(batch_size) % 2
  state = State(jax.random.normal(k, shape), jax.random.normal(v, shape), count)
  return (), inputs, state


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key in half of the slots."""
  params, (q,), (k, v, count) = example(key, batch_size, length)
  k = k.at[:, k.shape[1] // 2 :].set(k[:, :1])
  return params, (50 * q,), State(10 * k, v, count)
