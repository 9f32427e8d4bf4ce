"""The simple recurrent network: one layer of units that read each other.

Source: Elman 1990, Cognitive Science 14(2); relu with an identity start from Le, Jaitly
and Hinton 2015, arXiv:1504.00941.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence import cell, products, scan

TRANSITION = None
REVERSE_ONLY = ("chunk",)

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}

Params = tuple[Float[Array, "D H"], Float[Array, "H H"], Float[Array, " H"]]


class State(NamedTuple):
  """The units.

  Attributes:
    h: [B, H], float32 (float64 under float64 inputs).
  """

  h: Array


def init_state(batch_size: int, hidden: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    hidden: H, units.
    dtype: of the state.
  """
  return State(jnp.zeros((batch_size, hidden), dtype))


def _split(params: Params):
  w, r, b = params
  return (w, b), ((r,),), ()  # one group of one gate


def _project(weights, inputs, dtype):
  w, b = weights
  return (products.affine(w, b, inputs[0], 1, dtype),)  # ([..., H],)


def cell_of(activation: str = "tanh") -> cell.Cell:
  """Returns the functions that `cell` builds the forms of.

  Args:
    activation: a key of `ACTIVATIONS`.
  """

  def update(gates, vectors, state: State) -> State:
    (z,) = gates(0, state.h)  # [B, H]
    return State(ACTIVATIONS[activation](z))

  return cell.Cell(_split, _project, update)


def step(
  params: Params,
  inputs_t: tuple[Float[Array, "B D"]],
  state: State,
  *,
  activation: str = "tanh",
) -> tuple[Float[Array, "B H"], State]:
  """Computes one token.

      h_t = f(x_t W + h_{t-1} R + b)

  Cost: H (D + H) multiplies.

  Args:
    params: W, R, b. Their dtype is that of the matrix products.
    inputs_t: x.
    state: what is remembered.
    activation: f, a key of `ACTIVATIONS`.

  Returns:
    h_t in the dtype of x, and the state.
  """
  return cell.step(cell_of(activation), params, inputs_t, state)


AXES = State(("batch", None))
FORMS = scan.of_any_rows(
  {"recurrent": scan.recurrent(step), "chunk": cell.chunk(cell_of)}
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  dim, hidden = 3, 4
  w, r, b, x, h = jax.random.split(key, 5)
  params = (
    jax.random.normal(w, (dim, hidden)),
    jax.random.normal(r, (hidden, hidden)) / 2,  # smaller: gradients do not explode
    jax.random.normal(b, (hidden,)),
  )
  inputs = (jax.random.normal(x, (batch_size, length, dim)),)
  return params, inputs, State(jax.random.normal(h, (batch_size, hidden)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Pre-activations are 50 and -50 by channel, where inputs of 10 change little.
  """
  (w, r, b), (x,), state = example(key, batch_size, length)
  ends = jnp.where(jnp.arange(b.shape[0]) % 2 == 0, 50.0, -50.0)
  return (w, r, ends), (10 * x,), state
