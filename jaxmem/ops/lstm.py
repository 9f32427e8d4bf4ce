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

from jaxmem.ops.recurrence import cell, products, scan

TRANSITION = None
REVERSE_ONLY = ("chunk",)

# W, R, b, then what the options need
Params = tuple[Float[Array, "..."], ...]


class State(NamedTuple):
  """The cell and its output.

  Attributes:
    c: [B, H], float32 (float64 under float64 inputs), the cell.
    h: [B, H], likewise, its output.
  """

  c: Array
  h: Array


def init_state(batch_size: int, hidden: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    hidden: H, units.
    dtype: of the state.
  """
  zeros = jnp.zeros((batch_size, hidden), dtype)
  return State(zeros, zeros)


def _normed(parts: tuple[Array, ...], gain: Array) -> tuple[Array, ...]:
  """Layer norm, without bias, over several arrays side by side."""
  x = jnp.concatenate(parts, axis=-1)  # [..., 4 H], or [..., H] of the cell
  x = x - x.mean(axis=-1, keepdims=True)
  variance = jnp.square(x).mean(axis=-1, keepdims=True)
  y = x * jax.lax.rsqrt(variance + 1e-5)
  return products.columns(y * scan.per_channel(gain, y), len(parts))


def _gates_of(gates, gain, h: Array) -> tuple[Array, ...]:
  """The pre-activations of i, f, g, o; with a gain, of normalised products."""
  if gain is None:
    return gates(0, h)
  # normalised apart, so they are two groups: the inputs' products read no vector
  pairs = zip(gates(0), _normed(gates(1, h), gain), strict=True)
  return tuple(of_x + of_h for of_x, of_h in pairs)


def cell_of(peepholes: bool = False, layer_norm: bool = False) -> cell.Cell:
  """Returns the functions that `cell` builds the forms of.

  Args:
    peepholes: whether the gates see the cell.
    layer_norm: whether products and cell are normalised.
  """
  columns = functools.partial(products.columns, count=4)

  def split(params: Params):
    w, r, b, *rest = params
    peep = rest.pop(0) if peepholes else None  # [3, H]
    if not layer_norm:
      return (w, b, None), (columns(r),), (peep, None, None)
    gain_x, gain_h, gain_c = rest  # [4 H], [4 H], [H]
    return (w, b, gain_x), (None, columns(r)), (peep, gain_h, gain_c)

  def project(weights, inputs, dtype):
    w, b, gain = weights
    if gain is None:
      return (products.affine(w, b, inputs[0], 4, dtype),)
    (z,) = _normed((products.dot(inputs[0], w, dtype),), gain)  # [..., 4 H]
    # the bias comes after the norm, which would remove its mean
    return columns(z + b.astype(dtype)), (None,) * 4

  def pre_activations(gates, vectors, state: State) -> tuple[Array, ...]:
    """Those of i, f, g, o, but for what o sees of the new cell; [B, H] each."""
    peep, gain_h, _ = vectors
    i, f, g, o = _gates_of(gates, gain_h, state.h)
    if peep is not None:
      i, f = i + _peep(peep, 0, state.c), f + _peep(peep, 1, state.c)
    return i, f, g, o

  def update(gates, vectors, state: State) -> State:
    peep, _, gain_c = vectors
    i, f, g, o = pre_activations(gates, vectors, state)
    c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)  # [B, H]
    # only what is read of the cell is normalised: the sum is carried as it is
    (out,) = (c,) if gain_c is None else _normed((c,), gain_c)
    o = o if peep is None else o + _peep(peep, 2, c)  # of the new cell, not the old
    return State(c, jax.nn.sigmoid(o) * jnp.tanh(out))

  def inspect(gates, vectors, state: State) -> dict[str, Array]:
    i, f, _, _ = pre_activations(gates, vectors, state)
    return {"input_gate": jax.nn.sigmoid(i), "log_decay": jax.nn.log_sigmoid(f)}

  return cell.Cell(split, project, update, inspect)


def _peep(peepholes: Float[Array, "3 H"], j: int, c: Array) -> Array:
  """What the peephole of gate j adds to it, [B, H]."""
  return scan.per_channel(peepholes[j], c) * c


def step(
  params: Params,
  inputs_t: tuple[Float[Array, "B D"]],
  state: State,
  *,
  peepholes: bool = False,
  layer_norm: bool = False,
) -> tuple[Float[Array, "B H"], State]:
  """Computes one token.

      i, f, g, o = x_t W + h_{t-1} R + b
      c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)

  Peepholes add p_i c_{t-1} to i, p_f c_{t-1} to f and p_o c_t to o. Layer norm is that
  of x_t W (all gates at once), of h_{t-1} R, and of the c_t inside the tanh.

  Cost: 4 H (D + H) multiplies.

  Args:
    params: W [D, 4 H], R [H, 4 H], b [4 H], gates in the order i f g o; with peepholes
      p [3, H] for i f o; with layer norm the gains of x W, h R [4 H] and c [H]. The
      matrices' dtype is that of their products; a forget bias is part of b.
    inputs_t: x.
    state: what is remembered.
    peepholes: whether the gates see the cell.
    layer_norm: whether products and cell are normalised.

  Returns:
    h_t in the dtype of x, and the state.
  """
  return cell.step(cell_of(peepholes, layer_norm), params, inputs_t, state)


AXES = State(("batch", None), ("batch", None))
FORMS = scan.of_any_rows(
  {"recurrent": scan.recurrent(step), "chunk": cell.chunk(cell_of)}
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
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
  """Returns the hardest legal inputs: (params, inputs, state).

  Forget gates are 1, so that the cell only grows, and 0, in turn by channel.
  """
  (w, r, b), (x,), state = example(key, batch_size, length)
  hidden = r.shape[0]
  forget = jnp.where(jnp.arange(hidden) % 2 == 0, 50.0, -50.0)
  b = b.at[hidden : 2 * hidden].set(forget)
  return (w, r, b), (10 * x,), state
