"""RG-LRU, the real-gated linear recurrent unit of Hawk and Griffin.

Source: De et al. 2024, arXiv:2402.19427, section 2.4, eq. 1-4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence import linear_scan, scan

# The paper's constant c: how much sharper than the gate the decay is.
SHARPNESS = 8.0

TRANSITION = "diagonal"
VALUE = 0  # x, without which nothing is written
REVERSE_ONLY = ("sequential",)
FASTEST = {"cpu": "sequential"}  # a loop over a fused body; elsewhere `parallel`

Params = tuple[Float[Array, " D"]]
Inputs = tuple[Float[Array, "*B D"], Float[Array, "*B D"], Float[Array, "*B D"]]


class State(NamedTuple):
  """The recurrent units.

  Attributes:
    h: [B, D], float32 (float64 under float64 inputs).
  """

  h: Array


def init_state(batch_size: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    dim: D, features.
    dtype: of the state.
  """
  return State(jnp.zeros((batch_size, dim), dtype))


def _input_scale(log_a: Array) -> Array:
  """sqrt(1 - a^2), exact near a = 1, with gradient 0 (not infinite) at a = 1."""
  rest = -jnp.expm1(2 * log_a)  # 1 - a^2 by subtraction would lose 1 - 1e-7
  positive = rest > 1e-12
  # the inner `where` keeps the sqrt's derivative, 1 / (2 sqrt(0)), from being inf * 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, rest, 1)), 0)


def log_decay(lam: Float[Array, " D"], r: Array) -> Array:
  """Returns log a_t for recurrence gates.

  Args:
    lam: lambda, as in `step`.
    r: the recurrence gates, [..., D].
  """
  return SHARPNESS * r * scan.per_channel(jax.nn.log_sigmoid(lam.astype(r.dtype)), r)


def decay_and_input(params: Params, inputs: Inputs) -> tuple[Array, Array]:
  """Returns a_t and sqrt(1 - a_t^2) (i_t x_t), elementwise, in the state's dtype.

  Args:
    params: lambda.
    inputs: x, r, i as in `step`, of one token or of all.
  """
  x, r, i = (a.astype(scan.state_dtype(a.dtype)) for a in inputs)  # [..., D]
  log_a = log_decay(params[0], r)
  return jnp.exp(log_a), _input_scale(log_a) * (i * x)


def step(params: Params, inputs_t: Inputs, state: State) -> tuple[Array, State]:
  """Computes one token.

      a_t = sigmoid(lambda)^(c r_t),   h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t x_t)

  The released code scales a document's first token by 1 instead of sqrt(1 - a_t^2);
  this is the paper's equation 4, the same at every token.

  Cost: one multiply-add an element, and an exp.

  Args:
    params: lambda, any real; sigmoid(lambda)^c in 0.9..0.999 is where it starts.
    inputs_t: x; the recurrence gate r and the input gate i, both in [0, 1].
    state: what is remembered.

  Returns:
    h_t in the dtype of x, and the state.
  """
  a, b = decay_and_input(params, inputs_t)  # [B, D]
  h = a * state.h + b
  return h.astype(inputs_t[0].dtype), State(h)


AXES = State(("batch", "heads"))
FORMS = scan.of_any_rows(
  {
    "recurrent": scan.recurrent(step),
    "parallel": linear_scan.form(decay_and_input, "parallel"),
    "sequential": linear_scan.form(decay_and_input, "sequential"),
  }
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  dim = 4
  lam, x, r, i, h = jax.random.split(key, 5)
  shape = (batch_size, length, dim)
  params = (jax.random.uniform(lam, (dim,), minval=0.0, maxval=4.0),)
  gates = (jax.random.uniform(r, shape), jax.random.uniform(i, shape))
  inputs = (jax.random.normal(x, shape), *gates)
  return params, inputs, State(jax.random.normal(h, (batch_size, dim)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Gates are at the ends of their range; a decay is 1 - 1e-7 to e^-40 a token.
  """
  params, (x, r, _), state = example(key, batch_size, length)
  params = (jnp.array([-5.0, 0.0, 8.0, 16.0], params[0].dtype),)
  ends = jnp.round(r)  # exactly 0 and 1
  return params, (x, ends, 1 - ends), state
