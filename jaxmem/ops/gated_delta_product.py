"""The gated delta rule with several writes a token: a product of Householder steps.

Source: Siems et al. 2025, arXiv:2502.10297, section 3.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops import gated_delta
from jaxmem.ops.recurrence import scan

TRANSITION = "matrix"
VALUE = 2  # v
REVERSE_ONLY = ()

# The memory is that of the gated delta rule.
State, init_state = gated_delta.State, gated_delta.init_state

Inputs_t = tuple[
  Float[Array, "B H K"],
  Float[Array, "B N H K"],
  Float[Array, "B N H V"],
  Float[Array, "B H"],
  Float[Array, "B N H"],
]
Inputs = tuple[
  Float[Array, "B T H K"],
  Float[Array, "B T N H K"],
  Float[Array, "B T N H V"],
  Float[Array, "B T H"],
  Float[Array, "B T N H"],
]


def step(
  params: tuple[()], inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B H V"], State]:
  """One token: it decays once, writes N times and reads after the last write.

      S_0 = exp(g_t) S_{t-1},  S_i = S_{i-1} + k_ti beta_ti (v_ti - S_{i-1}^T k_ti)^T,
      S_t = S_N,  y_t = S_t^T q_t

  Cost: (2 N + 1) K V multiplies a head.

  Args:
    params: none.
    inputs_t: q (scale it by K^-0.5 before); N keys (of norm <= 1, or the memory can
      grow) and N values; g = log alpha <= 0; N write strengths beta in [0, 2].
    state: what is remembered.

  Returns:
    y_t in the dtype of v, and the state.
  """
  q, k, v, g, beta = inputs_t
  for i in range(k.shape[1]):
    one = (q, k[:, i], v[:, i], g, beta[:, i])
    y, state = gated_delta.step((), one, state)
    g = jnp.zeros_like(g)
  return y, state


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """All tokens, by the chunk form of the gated delta rule over T N writes.

  The first write of a token carries its decay and its reset, the last one its query.
  Equal to `step` scanned over time. Cost: that of `gated_delta.chunk` at length T N.

  Args:
    params: none.
    inputs: q, k, v, g, beta as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: writes per chunk, C >= 1; T N need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  q, k, v, g, beta = inputs
  writes = k.shape[2]
  flat = lambda a: a.reshape(a.shape[0], -1, *a.shape[3:])

  def at(a, before):
    """[B, T, ...] -> [B, T N, ...]: zeros in all writes of a token but one."""
    widths = [(0, 0)] * (a.ndim + 1)
    widths[2] = (before, writes - 1 - before)
    return flat(jnp.pad(a[:, :, None], widths))

  one = (at(q, writes - 1), flat(k), flat(v), at(g, 0), flat(beta))
  if reset is not None:
    reset = at(reset, 0)
  y, state = gated_delta.chunk((), one, state, reset, chunk_size=chunk_size)
  return y[:, writes - 1 :: writes], state


AXES = gated_delta.AXES
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def _by_token(draw, key, batch_size, length):
  """An example of the gated delta rule over the writes of all tokens."""
  writes = 2
  params, (q, k, v, g, beta), state = draw(key, batch_size, length * writes)
  tokens = lambda a: a.reshape(batch_size, length, writes, *a.shape[2:])
  first = lambda a: tokens(a)[:, :, 0]
  return params, (first(q), tokens(k), tokens(v), first(g), tokens(beta)), state


def example(key: Array, batch_size: int, length: int):
  """A small random case with a non-empty state: (params, inputs, state)."""
  return _by_token(gated_delta.example, key, batch_size, length)


def stress(key: Array, batch_size: int, length: int):
  """That of the gated delta rule: repeated keys at the largest write strength."""
  return _by_token(gated_delta.stress, key, batch_size, length)
