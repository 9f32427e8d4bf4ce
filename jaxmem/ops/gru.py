"""The gated recurrent unit, its reset gate before or after the recurrent product.

Source: Cho et al. 2014, arXiv:1406.1078, section 2.3, equations 5-8 (before); after is
cuDNN's and torch's, which makes all recurrent products one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence import cell, products, scan

TRANSITION = None
REVERSE_ONLY = ("chunk",)

# W [D, 3 H], U [H, 3 H], b [3 H] for the gates r z n; b'_n [H] with the reset after
Params = tuple[Float[Array, "..."], ...]


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


def _project(weights, inputs, dtype):
  """The inputs' part of the gates, in two groups: r and z read h, n reads r h."""
  w, b = weights
  r, z, n = products.affine(w, b, inputs[0], 3, dtype)  # [..., H] each
  return (r, z), (n,)


def _mix(z: Array, n: Array, h: Array) -> State:
  """Moves h towards the candidate n, as far as the gate z lets it."""
  z = jax.nn.sigmoid(z)  # [B, H]
  return State((1 - z) * n + z * h)


def _inspect(gates, vectors, state: State) -> dict[str, Array]:
  """The gates of a token, for `cell.gates`."""
  r, z, *_ = gates(0, state.h)  # [B, H]
  return {"reset_gate": jax.nn.sigmoid(r), "log_decay": jax.nn.log_sigmoid(z)}


def _before() -> cell.Cell:
  """The cell whose reset gate acts on h before the recurrent product."""

  def split(params):
    w, u, b = params
    ur, uz, un = products.columns(u, 3)  # [H, H] each
    # two groups, as n reads another vector than r and z do
    return (w, b), ((ur, uz), (un,)), ()

  def update(gates, vectors, state: State) -> State:
    r, z = gates(0, state.h)  # [B, H]
    (n,) = gates(1, jax.nn.sigmoid(r) * state.h)  # waits for r: a second product
    return _mix(z, jnp.tanh(n), state.h)

  return cell.Cell(split, _project, update, _inspect)


def _after() -> cell.Cell:
  """The cell whose reset gate acts on the recurrent product."""

  def split(params):
    w, u, b, b_n = params
    # one group of three: all recurrent products read h
    return (w, b), (products.columns(u, 3), None), b_n

  def project(weights, inputs, dtype):
    (r, z), n = _project(weights, inputs, dtype)
    # the inputs' part of n stays apart: r must not scale it
    return (r, z, None), n

  def update(gates, b_n, state: State) -> State:
    r, z, read = gates(0, state.h)  # [B, H]
    (n,) = gates(1)
    read = read + scan.per_channel(b_n, read)
    return _mix(z, jnp.tanh(n + jax.nn.sigmoid(r) * read), state.h)

  return cell.Cell(split, project, update, _inspect)


def cell_of(reset_after: bool = True) -> cell.Cell:
  """Returns the functions that `cell` builds the forms of.

  Args:
    reset_after: whether the reset gate acts after the recurrent product.
  """
  return _after() if reset_after else _before()


def step(
  params: Params,
  inputs_t: tuple[Float[Array, "B D"]],
  state: State,
  *,
  reset_after: bool = True,
) -> tuple[Float[Array, "B H"], State]:
  """Computes one token.

      r, z = sigmoid(x_t W_rz + h_{t-1} U_rz + b_rz)
      n = tanh(x_t W_n + r (h_{t-1} U_n + b'_n) + b_n)     reset after
      n = tanh(x_t W_n + (r h_{t-1}) U_n + b_n)            reset before
      h_t = (1 - z) n + z h_{t-1}

  Cost: 3 H (D + H) multiplies; before, in two products one after the other.

  Args:
    params: W [D, 3 H], U [H, 3 H], b [3 H], gates in the order r z n, and with the
      reset after the product b'_n [H]. Their dtype is that of the matrix products.
    inputs_t: x.
    state: what is remembered.
    reset_after: whether the reset gate acts after the recurrent product.

  Returns:
    h_t in the dtype of x, and the state.
  """
  return cell.step(cell_of(reset_after), params, inputs_t, state)


AXES = State(("batch", None))
FORMS = scan.of_any_rows(
  {"recurrent": scan.recurrent(step), "chunk": cell.chunk(cell_of)}
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  dim, hidden = 3, 4
  w, u, b, b_n, x, h = jax.random.split(key, 6)
  params = (
    jax.random.normal(w, (dim, 3 * hidden)),
    jax.random.normal(u, (hidden, 3 * hidden)) / 2,  # smaller: gradients do not explode
    jax.random.normal(b, (3 * hidden,)),
    jax.random.normal(b_n, (hidden,)),
  )
  inputs = (jax.random.normal(x, (batch_size, length, dim)),)
  return params, inputs, State(jax.random.normal(h, (batch_size, hidden)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Gates are saturated: they keep all and keep nothing, in turn by channel.
  """
  (w, u, b, b_n), (x,), state = example(key, batch_size, length)
  hidden = u.shape[0]
  keep = jnp.where(jnp.arange(hidden) % 2 == 0, 50.0, -50.0)
  # r and z are saturated at opposite ends in every channel
  b = b.at[: 2 * hidden].set(jnp.concatenate([keep[::-1], keep]))
  return (w, u, b, b_n), (10 * x,), state
