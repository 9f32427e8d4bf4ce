"""The selective state space of Mamba (S6): a diagonal memory whose rates are read.

Source: Gu and Dao 2023, arXiv:2312.00752, algorithm 2 and section 3.6 (A by
zero-order hold, B by Euler's rule, as the released code has it).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import scan

TRANSITION = "diagonal"
VALUE = 0  # x, without which nothing is written
REVERSE_ONLY = ("chunk",)

Params = tuple[Float[Array, "N D"]]
Inputs_t = tuple[
  Float[Array, "B D"], Float[Array, "B D"], Float[Array, "B N"], Float[Array, "B N"]
]
Inputs = tuple[
  Float[Array, "B T D"],
  Float[Array, "B T D"],
  Float[Array, "B T N"],
  Float[Array, "B T N"],
]


class State(NamedTuple):
  """N numbers of every channel.

  Attributes:
    h: [B, N, D], float32 (float64 under float64 inputs), read as c h.
  """

  h: Array


def init_state(batch_size: int, state_size: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    state_size: N, numbers of a channel.
    dim: D, channels.
    dtype: of the state.
  """
  return State(jnp.zeros((batch_size, state_size, dim), dtype))


def step(
  params: Params, inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B D"], State]:
  """Computes one token.

      h_t = exp(dt_t A) h_{t-1} + b_t (dt_t x_t)^T,    y_t = c_t h_t

  Cost: 3 N D multiply-adds and N D exps.

  Args:
    params: A <= 0, the rates: how fast each number of a channel is forgotten.
    inputs_t: x; the time step dt >= 0, one a channel; b, where x is written; c, where
      y is read.
    state: what is remembered.

  Returns:
    y_t in the dtype of x, and the state.
  """
  x, dt, b, c = (a.astype(state.h.dtype) for a in inputs_t)
  h, y = _advance(params[0], state.h, x, dt, b, c)
  return y.astype(inputs_t[0].dtype), State(h)


def _decay(rate: Float[Array, "N D"], dt: Float[Array, "B D"]) -> Array:
  """exp(dt A), [B, N, D]."""
  return jnp.exp(dt[..., None, :] * rate.astype(dt.dtype))


def _advance(rate, h, x, dt, b, c):
  """h_t and y_t of one token, all in the state's dtype."""
  h = _decay(rate, dt) * h + b[..., None] * (dt * x)[:, None]  # [B, N, D]
  return h, jnp.einsum("bn,bnd->bd", c, h)


def chunk(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 32,
) -> tuple[Float[Array, "B T D"], State]:
  """Computes all tokens by a loop that keeps one state a chunk.

      dh_t = c_t dy_t + a_{t+1} dh_{t+1},    q_t = a_t dh_t h_{t-1},  a_t = exp(dt_t A)
      d(dt_t A) = q_t,    d(b_t (dt_t x_t)^T) = dh_t

  Equal to `step` scanned over time; refuses forward mode. T sequential steps. The
  reverse pass computes the states of a chunk again, holds C N D numbers each of h, dh
  and q, and takes the sums over states and channels for a whole chunk.

  Args:
    params: A, as in `step`.
    inputs: x, dt, b, c as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens per chunk, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of x, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  scan.check_chunk_size(chunk_size)
  length = inputs[0].shape[1]
  size = min(chunk_size, length)

  def chunks(a):
    """[B, T, ...] -> [T/C, C, B, ...]: both loops read along their first axis."""
    return scan.to_chunks(a, size).swapaxes(1, 2)

  # padding is zeros: dt = 0 neither writes nor forgets
  xs = tuple(map(chunks, inputs))
  reset = None if reset is None else chunks(reset)
  h = state.h.astype(scan.state_dtype(inputs[0].dtype))
  y, h = _chunks(params[0], xs, reset, h)
  y = y.reshape(-1, *y.shape[2:])[:length]  # [T, B, D]
  return y.swapaxes(0, 1), State(h)


@jax.custom_vjp
def _chunks(rate, xs, reset, h):
  """y and the last state, inputs [T/C, C, B, ...]."""
  return _chunks_fwd(rate, xs, reset, h)[0]


def _forget(h, reset):
  """h, empty in the rows whose token begins a document."""
  return h if reset is None else scan.where_row(reset, 0, h)


def _chunks_fwd(rate, xs, reset, h):
  def token(h, xs):
    inputs, reset = xs
    h = _forget(h, reset)
    x, dt, b, c = (a.astype(h.dtype) for a in inputs)
    h, y = _advance(rate, h, x, dt, b, c)
    return h, y.astype(inputs[0].dtype)

  def block(h, xs):
    last, y = jax.lax.scan(token, h, xs)
    return last, (y, h)  # the state before the chunk is all that is kept of it

  last, (y, starts) = jax.lax.scan(block, h, (xs, reset))
  return (y, last), (rate, xs, reset, starts)


def _chunks_bwd(residuals, cotangents):
  rate, xs, reset, starts = residuals
  dy, dlast = cotangents
  dtype = starts.dtype

  def block(carry, xs):
    """The gradients of one chunk, whose states are computed again."""
    (dh, drate), (inputs, reset, start, dy) = carry, xs
    x, dt, b, c = (a.astype(dtype) for a in inputs)  # [C, B, D] or [C, B, N]
    dy = dy.astype(dtype)

    def recompute(h, xs):
      reset, x, dt, b, c = xs
      h, _ = _advance(rate, _forget(h, reset), x, dt, b, c)
      return h, h

    def token(dnext, xs):
      """dnext is a_{t+1} dh_{t+1}: what the next token sends back to this state."""
      reset, dt, c, dy, before = xs
      dh = dnext + c[..., None] * dy[:, None]  # [B, N, D]
      dbefore = _decay(rate, dt) * dh
      # masked after the product: another document's h may be inf
      q = _forget(dbefore * before, reset)
      return _forget(dbefore, reset), (dh, q)

    _, h = jax.lax.scan(recompute, start, (reset, x, dt, b, c))  # [C, B, N, D]
    before = jnp.concatenate([start[None], h[:-1]])
    dnext, (dh, q) = jax.lax.scan(token, dh, (reset, dt, c, dy, before), reverse=True)
    # sums over N and D for the whole chunk at once, not inside the loop over tokens
    dwritten = jnp.einsum("tbn,tbnd->tbd", b, dh)  # [C, B, D]
    grads = (
      dwritten * dt,  # of x
      dwritten * x + jnp.einsum("tbnd,nd->tbd", q, rate.astype(dtype)),  # of dt
      jnp.einsum("tbnd,tbd->tbn", dh, dt * x),  # of b
      jnp.einsum("tbnd,tbd->tbn", h, dy),  # of c
    )
    drate = drate + jnp.einsum("tbnd,tbd->nd", q, dt)  # [N, D]
    grads = tuple(g.astype(a.dtype) for g, a in zip(grads, inputs, strict=True))
    return (dnext, drate), grads

  start = (dlast, jnp.zeros(rate.shape, dtype))
  (dh, drate), dxs = jax.lax.scan(block, start, (xs, reset, starts, dy), reverse=True)
  return drate.astype(rate.dtype), dxs, None, dh


_chunks.defvjp(_chunks_fwd, _chunks_bwd)

AXES = State(("batch", "key", "heads"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  size, dim = 4, 3
  rate, x, dt, b, c, h = jax.random.split(key, 6)
  params = (-jnp.exp(jax.random.normal(rate, (size, dim))),)
  shape = (batch_size, length)
  inputs = (
    jax.random.normal(x, (*shape, dim)),
    jax.nn.softplus(jax.random.normal(dt, (*shape, dim))),
    jax.random.normal(b, (*shape, size)),
    jax.random.normal(c, (*shape, size)),
  )
  return params, inputs, State(jax.random.normal(h, (batch_size, size, dim)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Decays are 1 - 1e-7, e^-1000 and exactly 0 and 1 a token; one direction repeats.
  """
  _, (x, _, b, c), state = example(key, batch_size, length)
  rate = -jnp.array([1e-7, 1.0, 1000.0, 1e30])[:, None] * jnp.ones((1, x.shape[-1]))
  dt = jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)  # exactly 0 and 1
  same = jnp.broadcast_to(b[:, :1], b.shape)
  return (rate,), (x, dt, same, c), state
