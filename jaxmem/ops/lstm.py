"""Long short-term memory, with a forget gate.

Source: Hochreiter and Schmidhuber 1997, Neural Computation 9(8); the forget gate from
Gers, Schmidhuber and Cummins 2000, Neural Computation 12(10).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops import scan
from jaxmem.ops.precision import einsum
from jaxmem.typing import Reset

TRANSITION = None
REVERSE_ONLY = ("chunk",)

# E = 4 H, the four gates
Params = tuple[Float[Array, "D E"], Float[Array, "H E"], Float[Array, " E"]]


class State(NamedTuple):
  """c, h: [B, H], float32 (float64 under float64 inputs): the cell and its output."""

  c: Array
  h: Array


def init_state(batch_size: int, hidden: int, dtype=jnp.float32) -> State:
  """The empty memory."""
  zeros = jnp.zeros((batch_size, hidden), dtype)
  return State(zeros, zeros)


def _cell(gates: list[Array], c: Array) -> tuple[Array, Array]:
  """c_t and h_t from the pre-activations of i, f, g, o."""
  i, f, g, o = gates
  c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
  return c, jax.nn.sigmoid(o) * jnp.tanh(c)


def _dot(x: Array, w: Array, dtype) -> Array:
  """x w with operands in the dtype of w and a sum in `dtype`."""
  return einsum("...i,ij->...j", x.astype(w.dtype), w, dtype)


def step(
  params: Params, inputs_t: tuple[Float[Array, "B D"]], state: State
) -> tuple[Float[Array, "B H"], State]:
  """One token.

      i, f, g, o = x_t W + h_{t-1} R + b
      c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)

  Cost: 4 H (D + H) multiplies.

  Args:
    params: W, R, b, gates in the order i f g o. Their dtype is that of the matrix
      products; a forget bias is part of b.
    inputs_t: x.
    state: what is remembered.

  Returns:
    h_t in the dtype of x, and the state.
  """
  (w, r, b), (x,) = params, inputs_t
  dtype = state.c.dtype
  z = _dot(x, w, dtype) + _dot(state.h, r, dtype) + b.astype(dtype)
  c, h = _cell(jnp.split(z, 4, axis=-1), state.c)
  return h.astype(x.dtype), State(c, h)


def chunk(
  params: Params,
  inputs: tuple[Float[Array, "B T D"]],
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H"], State]:
  """All tokens, the input product hoisted out of the loop chunk by chunk.

  Equal to `step` scanned over time. T sequential steps of 4 H^2 multiplies a row, and
  T/C matrix products of C B rows. Its own reverse pass keeps c and h of every token and
  nothing else (no gates), computes the gates of a chunk again in one product, and sums
  the weights' gradients once a chunk instead of once a token.

  Args:
    params: see `step`.
    inputs: x.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens whose input products are taken at once, >= 1; T need not be a
      multiple.

  Returns:
    h in the dtype of x, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.

  Source: Appleyard et al. 2016, arXiv:1604.01946, section 3 (hoisting, one weight
  gradient product for many steps).
  """
  scan.check_chunk_size(chunk_size)
  (x,) = inputs
  length = x.shape[1]
  size = min(chunk_size, length)
  keep = jnp.ones(x.shape[:2], x.dtype) if reset is None else (~reset).astype(x.dtype)
  chunks = lambda a: scan.to_chunks(a, size).swapaxes(1, 2)  # [T/C, C, B, ...]
  state = State(*(s.astype(scan.state_dtype(x.dtype)) for s in state))
  c, h = _unrolled(*params, chunks(x), chunks(keep), state)
  flat = lambda a: a.reshape(-1, *a.shape[2:])[:length]  # [T, B, H]
  c, h = flat(c), flat(h)
  return h.swapaxes(0, 1).astype(x.dtype), State(c[-1], h[-1])


@jax.custom_vjp
def _unrolled(w, r, b, x, keep, state):
  """c and h after every token, [T/C, C, B, H]; tokens of padding come last."""
  return _unrolled_forward(w, r, b, x, keep, state)[0]


def _by_gate(w: Array) -> list[Array]:
  """The four column blocks, i f g o: four small products beat a wide one on CPU."""
  return jnp.split(w, 4, axis=-1)


def _unrolled_forward(w, r, b, x, keep, state):
  dtype = state.c.dtype
  # cut once, outside the loop: inside, every step would copy them
  input_weights = list(zip(_by_gate(w), _by_gate(b.astype(dtype)), strict=True))
  recurrent_weights = _by_gate(r)

  def token(carry, xs):
    *z, k = xs
    c, h = (s * k for s in carry)
    gates = [a + _dot(h, r, dtype) for a, r in zip(z, recurrent_weights, strict=True)]
    c, h = _cell(gates, c)
    return (c, h), (c, h)

  def block(carry, xs):
    x, k = xs
    z = [_dot(x, w, dtype) + b for w, b in input_weights]
    return jax.lax.scan(token, carry, (*z, k[..., None].astype(dtype)))

  _, (c, h) = jax.lax.scan(block, tuple(state), (x, keep))
  return (c, h), (w, r, b, x, keep, state, c, h)


def _unrolled_backward(residuals, cotangents):
  w, r, b, x, keep, state, cs, hs = residuals
  dtype = cs.dtype
  size = x.shape[1]
  # padding comes after the last token and is read by nobody: its cotangents are zero,
  # so the reverse pass goes through it with zeros and needs no mask
  before = lambda s0, s: jnp.concatenate(
    [s0[None], s.reshape(-1, *s.shape[2:])[:-1]]
  ).reshape(s.shape)
  gate = keep[..., None].astype(dtype)
  c_in, h_in = before(state.c, cs) * gate, before(state.h, hs) * gate
  back = [r.T for r in _by_gate(r)]

  def token(carry, xs):
    dc_next, dh_next = carry
    i, f, g, o, c_in, c, k, dc, dh = xs
    dh = dh + dh_next
    t = jnp.tanh(c)
    dc = dc + dc_next + dh * o * (1 - t * t)
    di, df, dg = dc * g * i * (1 - i), dc * c_in * f * (1 - f), dc * i * (1 - g * g)
    dz = (di, df, dg, dh * t * o * (1 - o))
    dh = sum(_dot(d, r, dtype) for d, r in zip(dz, back, strict=True))
    return (dc * f * k, dh * k), dz

  def block(carry, xs):
    (dc, dh), (dw, dr, db) = carry
    x, c_in, h_in, c, k, dcs, dhs = xs
    z = _dot(x, w, dtype) + _dot(h_in, r, dtype) + b.astype(dtype)
    i, f, g, o = _by_gate(z)
    sigmoid = jax.nn.sigmoid
    xs = (sigmoid(i), sigmoid(f), jnp.tanh(g), sigmoid(o), c_in, c, k, dcs, dhs)
    (dc, dh), dz = jax.lax.scan(token, (dc, dh), xs, reverse=True)
    dz = jnp.concatenate(dz, axis=-1)
    rows = lambda a: a.reshape(size * a.shape[1], -1)
    outer = lambda a, d: _dot(rows(a).T.astype(w.dtype), rows(d).astype(w.dtype), dtype)
    dx = _dot(dz, w.T, dtype).astype(x.dtype)
    sums = (dw + outer(x, dz), dr + outer(h_in, dz), db + dz.sum((0, 1)))
    return ((dc, dh), sums), dx

  zeros = lambda a: jnp.zeros(a.shape, dtype)
  start = (tuple(map(zeros, state)), tuple(map(zeros, (w, r, b))))
  xs = (x, c_in, h_in, cs, gate, *cotangents)
  ((dc, dh), sums), dx = jax.lax.scan(block, start, xs, reverse=True)
  dparams = tuple(d.astype(p.dtype) for d, p in zip(sums, (w, r, b), strict=True))
  return *dparams, dx, jnp.zeros_like(keep), State(dc, dh)


_unrolled.defvjp(_unrolled_forward, _unrolled_backward)

FORMS = {"recurrent": scan.recurrent(step), "chunk": chunk}


def example(key: Array, batch_size: int, length: int):
  """A small random case with a non-empty state: (params, inputs, state)."""
  dim, hidden = 3, 4
  w, r, b, x, c, h = jax.random.split(key, 6)
  params = (
    jax.random.normal(w, (dim, 4 * hidden)),
    jax.random.normal(r, (hidden, 4 * hidden)) / 2,
    jax.random.normal(b, (4 * hidden,)),
  )
  shape = (batch_size, hidden)
  state = State(jax.random.normal(c, shape), jax.random.normal(h, shape))
  return params, (jax.random.normal(x, (batch_size, length, dim)),), state


def stress(key: Array, batch_size: int, length: int):
  """Saturated gates: forget at 1 (the cell only grows) and at 0, in turn by channel."""
  (w, r, b), (x,), state = example(key, batch_size, length)
  hidden = r.shape[0]
  forget = jnp.where(jnp.arange(hidden) % 2 == 0, 40.0, -40.0)
  b = b.at[hidden : 2 * hidden].set(forget)
  return (w, r, b), (10 * x,), state
