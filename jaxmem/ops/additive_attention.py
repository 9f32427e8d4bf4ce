"""Additive attention to a memory that is given: scores by a small network.

Source: Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import scan

TRANSITION = None
REVERSE_ONLY = ()

Params = tuple[Float[Array, " K"]]
Inputs_t = tuple[Float[Array, "B K"]]
Inputs = tuple[Float[Array, "B T K"]]


class State(NamedTuple):
  """k: [B, S, K]; v: [B, S, E]; count: int32 [B], how many first are tokens."""

  k: Array
  v: Array
  count: Array  # type: ignore[assignment] # no method of tuples


def init_state(
  batch_size: int, memory_size: int, key_dim: int, value_dim: int, dtype=jnp.float32
) -> State:
  """The empty memory, of which 0 is read."""
  return State(
    jnp.zeros((batch_size, memory_size, key_dim), dtype),
    jnp.zeros((batch_size, memory_size, value_dim), dtype),
    jnp.zeros((batch_size,), jnp.int32),
  )


def step(
  params: Params, inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B E"], State]:
  """One token reads the memory and leaves it as it is.

      y = sum_j softmax_j(w . tanh(q + k_j)) v_j,   j < count;   0 where count is 0

  Cost: K S tanh and (K + E) S multiplies.

  Args:
    params: w.
    inputs_t: q.
    state: what is remembered.

  Returns:
    y in the dtype of q, and the state.
  """
  (w,), (q,) = params, inputs_t
  k, v, count = state
  wide = scan.state_dtype(q.dtype)
  hidden = jnp.tanh((q[:, None] + k.astype(q.dtype)).astype(wide))  # [B, S, K]
  scores = (hidden * w.astype(wide)).sum(-1)  # [B, S]
  is_token = scan.indices(k.shape[1]) < count[:, None]
  weights = jax.nn.softmax(jnp.where(is_token, scores, -1e30), axis=-1)
  y = (jnp.where(is_token, weights, 0)[..., None] * v.astype(wide)).sum(1)  # [B, E]
  # a softmax over nothing is uniform: the empty memory reads as 0
  return jnp.where((count > 0)[:, None], y, 0).astype(q.dtype), state


def parallel(
  params: Params, inputs: Inputs, state: State, reset: Reset | None = None
) -> tuple[Float[Array, "B T E"], State]:
  """All tokens at once; [B, T, S, K] numbers, computed again in the reverse pass.

  Equal to `step` scanned over time: from a reset on there is nothing to read.

  Args:
    params: see `step`.
    inputs: q as in `step`.
    state: what is remembered.
    reset: True on the first token of a document.

  Returns:
    y in the dtype of q, and the memory after the last token.
  """
  (q,) = inputs

  def one_token(q: Float[Array, "B K"]) -> Float[Array, "B E"]:
    return step(params, (q,), state)[0]

  # [B, T, S, K] numbers of tanh are not kept for the reverse pass
  y = jax.checkpoint(jax.vmap(one_token, in_axes=1, out_axes=1))(q)  # [B, T, E]
  if reset is None:
    return y, state
  y = jnp.where((scan.documents(reset) == 0)[..., None], y, 0)
  return y, scan.forget(state, reset.any(axis=1))


AXES = State(*[("batch", "slots", None)] * 2, ("batch",))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def join(before: State, after: State, length: int) -> State:
  """The state after two stretches of one document: that before them."""
  return before


def example(key: Array, batch_size: int, length: int):
  """A small random case, every other row with a slot to spare."""
  memory, key_dim, value_dim = 5, 4, 3
  w, q, k, v = jax.random.split(key, 4)
  inputs = (jax.random.normal(q, (batch_size, length, key_dim)),)
  count = memory - scan.indices(batch_size) % 2
  keys = jax.random.normal(k, (batch_size, memory, key_dim))
  values = jax.random.normal(v, (batch_size, memory, value_dim))
  return (jax.random.normal(w, (key_dim,)),), inputs, State(keys, values, count)


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key in half of the slots."""
  (w,), (q,), (k, v, count) = example(key, batch_size, length)
  k = k.at[:, k.shape[1] // 2 :].set(k[:, :1])
  return (200 * w,), (q,), State(k, v, count)
