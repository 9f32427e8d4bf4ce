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
VALUE = 0  # x
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
  """h: [B, N, D], float32 (float64 under float64 inputs), read as c h."""

  h: Array


def init_state(batch_size: int, state_size: int, dim: int, dtype=jnp.float32) -> State:
  """The empty memory."""
  return State(jnp.zeros((batch_size, state_size, dim), dtype))


def step(
  params: Params, inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B D"], State]:
  """One token.

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
  h, y = _advance(params[0], state.h, *(a.astype(state.h.dtype) for a in inputs_t))
  return y.astype(inputs_t[0].dtype), State(h)


def _decay(rate: Array, dt: Array) -> Array:
  return jnp.exp(dt[..., None, :] * rate.astype(dt.dtype))


def _advance(rate, h, x, dt, b, c):
  h = _decay(rate, dt) * h + b[..., None] * (dt * x)[:, None]
  return h, jnp.einsum("bn,bnd->bd", c, h)


def chunk(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 32,
) -> tuple[Float[Array, "B T D"], State]:
  """All tokens by a loop that keeps one state a chunk.

      dh_t = c_t dy_t + a_{t+1} dh_{t+1},    q_t = a_t dh_t h_{t-1},  a_t = exp(dt_t A)
      d(dt_t A) = q_t,    d(b_t (dt_t x_t)^T) = dh_t

  Equal to `step` scanned over time; refuses forward mode. T sequential steps. The
  reverse pass computes the states of a chunk again, holds C N D numbers each of h, dh
  and q, and takes the sums over states and channels for a whole chunk.

  Args:
    params: see `step`.
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
  # [T/C, C, B, ...]; padding neither writes nor forgets: dt = 0
  chunks = lambda a: scan.to_chunks(a, size).swapaxes(1, 2)
  xs = tuple(map(chunks, inputs))
  reset = None if reset is None else chunks(reset)
  h = state.h.astype(scan.state_dtype(inputs[0].dtype))
  y, h = _chunks(params[0], xs, reset, h)
  y = y.reshape(-1, *y.shape[2:])[:length]
  return y.swapaxes(0, 1), State(h)


@jax.custom_vjp
def _chunks(rate, xs, reset, h):
  """y and the last state, inputs [T/C, C, B, ...]."""
  return _chunks_forward(rate, xs, reset, h)[0]


def _old(reset, h):
  return h if reset is None else scan.where_row(reset, 0, h)


def _chunks_forward(rate, xs, reset, h):
  def token(h, xs):
    inputs, reset = xs
    h, y = _advance(rate, _old(reset, h), *(a.astype(h.dtype) for a in inputs))
    return h, y.astype(inputs[0].dtype)

  def block(h, xs):
    after, y = jax.lax.scan(token, h, xs)
    return after, (y, h)

  last, (y, starts) = jax.lax.scan(block, h, (xs, reset))
  return (y, last), (rate, xs, reset, starts)


def _chunks_backward(residuals, cotangents):
  rate, xs, reset, starts = residuals
  dy, dlast = cotangents
  dtype = starts.dtype

  def block(carry, xs):
    (dh, drate), (inputs, reset, start, dy) = carry, xs
    x, dt, b, c = (a.astype(dtype) for a in inputs)
    dy = dy.astype(dtype)

    def again(h, xs):
      reset, *inputs = xs
      h, _ = _advance(rate, _old(reset, h), *inputs)
      return h, h

    def token(behind, xs):
      reset, dt, c, dy, before = xs
      dh = behind + c[..., None] * dy[:, None]
      old = _decay(rate, dt) * dh
      q = _old(reset, old * before)  # masked last: another document's h may be inf
      return _old(reset, old), (dh, q)

    _, h = jax.lax.scan(again, start, (reset, x, dt, b, c))
    before = jnp.concatenate([start[None], h[:-1]])
    behind, (dh, q) = jax.lax.scan(token, dh, (reset, dt, c, dy, before), reverse=True)
    dwritten = jnp.einsum("tbn,tbnd->tbd", b, dh)
    grads = (
      dwritten * dt,
      dwritten * x + jnp.einsum("tbnd,nd->tbd", q, rate.astype(dtype)),
      jnp.einsum("tbnd,tbd->tbn", dh, dt * x),
      jnp.einsum("tbnd,tbd->tbn", h, dy),
    )
    drate = drate + jnp.einsum("tbnd,tbd->nd", q, dt)
    grads = tuple(g.astype(a.dtype) for g, a in zip(grads, inputs, strict=True))
    return (behind, drate), grads

  start = (dlast, jnp.zeros(rate.shape, dtype))
  (dh, drate), dxs = jax.lax.scan(block, start, (xs, reset, starts, dy), reverse=True)
  return drate.astype(rate.dtype), dxs, None, dh


_chunks.defvjp(_chunks_forward, _chunks_backward)

AXES = State(("batch", "key", "heads"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def example(key: Array, batch_size: int, length: int):
  """A small random case with a non-empty state: (params, inputs, state)."""
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
  """Decays of 1 - 1e-7, e^-1000 and exactly 0 and 1 a token; one direction repeated."""
  _, (x, _, b, c), state = example(key, batch_size, length)
  rate = -jnp.array([1e-7, 1.0, 1000.0, 1e30])[:, None] * jnp.ones((1, x.shape[-1]))
  dt = jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)  # exactly 0 and 1
  same = jnp.broadcast_to(b[:, :1], b.shape)
  return (rate,), (x, dt, same, c), state
