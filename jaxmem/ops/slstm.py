"""sLSTM: exponential gates, a normaliser, and heads that mix only within themselves.

Source: Beck et al. 2024, arXiv:2405.04517, section 2.2, equations 8-17.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence import cell, scan

TRANSITION = None
REVERSE_ONLY = ("chunk",)
STARTS = ("h",)  # what c and n hold before the first token is dropped

# G = 4, the gates i f z o; P = D/H
Params = tuple[Float[Array, "G H P P"]]
Inputs = tuple[
  Float[Array, "*B D"], Float[Array, "*B D"], Float[Array, "*B D"], Float[Array, "*B D"]
]


class State(NamedTuple):
  """The cell, all of it [B, D] and float32 (float64 under float64 inputs).

  n >= 1 after any token, so n = 0 says of each element of each row that it is empty.

  Attributes:
    c: the cell divided by e^m.
    n: the normaliser divided by e^m.
    m: the stabiliser, a running maximum.
    h: the output.
  """

  c: Array
  n: Array
  m: Array
  h: Array


def init_state(batch_size: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    dim: D, features of all heads.
    dtype: of the state.
  """
  zeros = jnp.zeros((batch_size, dim), dtype)
  return State(zeros, zeros, zeros, zeros)


def _split(params: Params):
  return (), (tuple(params[0]),), ()  # one group of four gates, R [H, P, P] each


def _project(weights, inputs: Inputs, dtype):
  return (tuple(a.astype(dtype) for a in inputs),)  # the mixer has projected them


def cell_of(forget: str = "sigmoid") -> cell.Cell:
  """Returns the functions that `cell` builds the forms of.

  Args:
    forget: "sigmoid" or "exp", see `step`.
  """
  log_forget = {"sigmoid": jax.nn.log_sigmoid, "exp": lambda f: f}[forget]

  def update(gates, vectors, state: State) -> State:
    i, f, z, o = gates(0, state.h)  # [B, D]
    log_kept = log_forget(f) + state.m
    # An empty memory has no maximum: max(m, i) with m = 0 would shut a gate of e^-50.
    empty = state.n == 0
    m = jnp.where(empty, i, jnp.maximum(log_kept, i))
    # masked inside the exp, too: the gradient of what `where` drops may be inf * 0
    f = jnp.where(empty, 0, jnp.exp(jnp.where(empty, 0, log_kept - m)))
    i = jnp.exp(i - m)  # f and i are both <= 1, and one of them is 1: n >= 1
    c, n = f * state.c + i * jnp.tanh(z), f * state.n + i
    return State(c, n, m, jax.nn.sigmoid(o) * c / n)

  def inspect(gates, vectors, state: State) -> dict[str, Array]:
    i, f, _, _ = gates(0, state.h)
    return {"log_input": i, "log_decay": log_forget(f)}

  return cell.Cell(_split, _project, update, inspect)


def step(
  params: Params, inputs_t: Inputs, state: State, *, forget: str = "sigmoid"
) -> tuple[Float[Array, "B D"], State]:
  """Computes one token, each head by itself.

      i, f, z, o = x^i_t, x^f_t, x^z_t, x^o_t + h_{t-1} R
      m_t = max(log F + m_{t-1}, i),   F = sigmoid(f) or e^f
      c_t = e^(log F + m_{t-1} - m_t) c_{t-1} + e^(i - m_t) tanh(z)
      n_t = e^(log F + m_{t-1} - m_t) n_{t-1} + e^(i - m_t)
      h_t = sigmoid(o) c_t / n_t

  In an empty memory m_t = i: each element of each row for itself, where the released
  code asks whether the whole batch is empty.

  Cost: 4 D^2/H multiplies.

  Args:
    params: R, a matrix a gate and head, in the dtype of the product.
    inputs_t: what the token says to i f z o, biases included.
    state: what is remembered.
    forget: "sigmoid" or "exp". With "exp" m may grow by f a token, and the gates are
      as exact as float32 numbers of the size of m.

  Returns:
    h_t in the dtype of the inputs, and the state.
  """
  return cell.step(cell_of(forget), params, inputs_t, state)


AXES = State(*[("batch", "heads")] * 4)
FORMS = scan.of_any_rows(
  {"recurrent": scan.recurrent(step), "chunk": cell.chunk(cell_of)}
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  heads, size = 2, 3
  r, x, c, n, m, h = jax.random.split(key, 6)
  params = (jax.random.normal(r, (4, heads, size, size)) / 2,)
  inputs = tuple(jax.random.normal(x, (4, batch_size, length, heads * size)))

  def draw(key):
    return jax.random.normal(key, (batch_size, heads * size))

  normaliser = 1 + jnp.square(draw(n))  # n >= 1 after any token
  return params, inputs, State(draw(c), normaliser, draw(m), draw(h))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Input and forget gates are 50 and -50, in turn by channel and token.
  """
  params, (i, f, z, o), state = example(key, batch_size, length)

  def saturated(a):
    return jnp.where(a > 0, 50.0, -50.0)

  return params, (saturated(i), saturated(f), 10 * z, 10 * o), state
