"""Long short-term memory, with a forget gate; peepholes and layer norm as options.

Source: Hochreiter and Schmidhuber 1997, Neural Computation 9(8); the forget gate from
Gers, Schmidhuber and Cummins 2000, Neural Computation 12(10); peepholes from Gers,
Schraudolph and Schmidhuber 2002, JMLR 3; layer norm from Ba, Kiros and Hinton 2016,
arXiv:1607.06450, equations 20-22.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops import cell, scan

TRANSITION = None
REVERSE_ONLY = ("chunk",)


class Options(NamedTuple):
  """What a plain LSTM does without, each None where it is not wanted.

  Attributes:
    peepholes: [3, H], how i, f and o look at the cell.
    gains: [9 H], of the layer norms of x W, of h R and of c.
  """

  peepholes: Float[Array, "3 H"] | None = None
  gains: Float[Array, " G"] | None = None


# E = 4 H, the four gates
Params = (
  tuple[Float[Array, "D E"], Float[Array, "H E"], Float[Array, " E"]]
  | tuple[Float[Array, "D E"], Float[Array, "H E"], Float[Array, " E"], Options]
)


class State(NamedTuple):
  """c, h: [B, H], float32 (float64 under float64 inputs): the cell and its output."""

  c: Array
  h: Array


def init_state(batch_size: int, hidden: int, dtype=jnp.float32) -> State:
  """The empty memory."""
  zeros = jnp.zeros((batch_size, hidden), dtype)
  return State(zeros, zeros)


def _normed(parts: tuple[Array, ...], gain: Array) -> tuple[Array, ...]:
  """Layer norm, without bias, of what stands in several arrays."""
  x = jnp.concatenate(parts, axis=-1)
  x = x - x.mean(axis=-1, keepdims=True)
  variance = jnp.square(x).mean(axis=-1, keepdims=True)
  y = x * jax.lax.rsqrt(variance + 1e-5)
  return cell.columns(y * scan.per_channel(gain, y), len(parts))


def _split(params: Params):
  w, r, b, *rest = params
  options = rest[0] if rest else Options()
  cut = functools.partial(cell.columns, count=4)
  if options.gains is None:
    return (cut(w), cut(b), None), (cut(r),), options
  of_x, of_h, of_c = jnp.split(options.gains, [4 * r.shape[0], 8 * r.shape[0]])
  weights = (cut(w), cut(b), of_x)
  return weights, (None, cut(r)), options._replace(gains=(of_h, of_c))


def _project(weights, inputs, dtype):
  w, b, gain = weights
  if gain is None:
    return (cell.affine(w, b, inputs[0], dtype),)
  z = _normed(tuple(cell.dot(inputs[0], a, dtype) for a in w), gain)
  return tuple(a + c.astype(dtype) for a, c in zip(z, b, strict=True)), (None,) * 4


def _update(gates, options: Options, state: State) -> State:
  peepholes, gains = options
  if gains is None:
    i, f, g, o = gates(0, state.h)
  else:
    pairs = zip(gates(0), _normed(gates(1, state.h), gains[0]), strict=True)
    i, f, g, o = (a + b for a, b in pairs)
  peep = lambda gate, j, c: (
    gate if peepholes is None else gate + scan.per_channel(peepholes[j], c) * c
  )
  forget, write = (peep(gate, j, state.c) for j, gate in ((1, f), (0, i)))
  c = jax.nn.sigmoid(forget) * state.c + jax.nn.sigmoid(write) * jnp.tanh(g)
  shown = c if gains is None else _normed((c,), gains[1])[0]
  return State(c, jax.nn.sigmoid(peep(o, 2, c)) * jnp.tanh(shown))


def _cell() -> cell.Cell:
  return cell.Cell(_split, _project, _update)


def step(
  params: Params, inputs_t: tuple[Float[Array, "B D"]], state: State
) -> tuple[Float[Array, "B H"], State]:
  """One token.

      i, f, g, o = x_t W + h_{t-1} R + b
      c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)

  Peepholes add p_i c_{t-1} to i, p_f c_{t-1} to f and p_o c_t to o. Layer norm is that
  of x_t W (all gates at once), of h_{t-1} R, and of the c_t inside the tanh.

  Cost: 4 H (D + H) multiplies.

  Args:
    params: W, R, b, gates in the order i f g o, then `Options` if there are any. Their
      dtype is that of the matrix products; a forget bias is part of b.
    inputs_t: x.
    state: what is remembered.

  Returns:
    h_t in the dtype of x, and the state.
  """
  return cell.step(_cell(), params, inputs_t, state)


FORMS = {"recurrent": scan.recurrent(step), "chunk": cell.chunk(_cell)}


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
  forget = jnp.where(jnp.arange(hidden) % 2 == 0, 50.0, -50.0)
  b = b.at[hidden : 2 * hidden].set(forget)
  return (w, r, b), (10 * x,), state
