"""The gated delta rule with several writes a token: a product of Householder steps.

Source: Siems et al. 2025, arXiv:2502.10297, section 3.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops import gated_delta
from jaxmem.ops.recurrence import scan

TRANSITION = "matrix"
VALUE = 2  # v, without which nothing is written
REVERSE_ONLY = ()

# The memory is that of the gated delta rule.
State = gated_delta.State
init_state = gated_delta.init_state

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
  """Computes one token: it decays once, writes N times and then reads.

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
    write = (q, k[:, i], v[:, i], g, beta[:, i])
    y, state = gated_delta.step((), write, state)
    g = jnp.zeros_like(g)  # the token has decayed: only its first write does
  return y, state  # y of the last write, [B, H, V]


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """Computes all tokens by the chunk form of the gated delta rule over T N writes.

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
  num_writes = k.shape[2]

  def flat(a):
    """[B, T, N, ...] -> [B, T N, ...]: every write is a token of the delta rule."""
    return a.reshape(a.shape[0], -1, *a.shape[3:])

  def at_write(a, index):
    """[B, T, ...] -> [B, T N, ...]: zeros in all writes of a token but one."""
    widths = [(0, 0)] * (a.ndim + 1)
    widths[2] = (index, num_writes - 1 - index)
    return flat(jnp.pad(a[:, :, None], widths))

  # zeros are neutral: a query of 0 reads nothing, a log decay of 0 keeps everything
  query, keys, values = at_write(q, num_writes - 1), flat(k), flat(v)  # [B, T N, ...]
  writes = (query, keys, values, at_write(g, 0), flat(beta))
  if reset is not None:
    reset = at_write(reset, 0)  # [B, T N]: a document begins with its first write
  y, state = gated_delta.chunk((), writes, state, reset, chunk_size=chunk_size)
  return y[:, num_writes - 1 :: num_writes], state  # [B, T, H, V]


AXES = gated_delta.AXES
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def _by_token(draw, key, batch_size, length):
  """An example of the gated delta rule over the writes of all tokens."""
  num_writes = 2
  params, (q, k, v, g, beta), state = draw(key, batch_size, length * num_writes)

  def writes(a):
    return a.reshape(batch_size, length, num_writes, *a.shape[2:])  # [B, T, N, ...]

  def first_write(a):
    return writes(a)[:, :, 0]  # [B, T, ...]: a token has one query and one decay

  inputs = (first_write(q), writes(k), writes(v), first_write(g), writes(beta))
  return params, inputs, state


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  return _by_token(gated_delta.example, key, batch_size, length)


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  They are those of the gated delta rule: keys repeat at the largest write strength.
  """
  return _by_token(gated_delta.stress, key, batch_size, length)
