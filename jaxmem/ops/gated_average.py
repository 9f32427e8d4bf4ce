"""An average that a gate moves towards what comes: minGRU, minLSTM, HGRN.

Source: Feng et al. 2024, arXiv:2410.01201, section 3 (minGRU, and minLSTM with gates
that sum to 1); Qin, Yang and Zhong 2023, arXiv:2311.04823, section 3.2 (HGRU).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence import linear_scan, scan

TRANSITION = "diagonal"
VALUE = 0  # x, without which nothing is written
REVERSE_ONLY = ("sequential",)
FASTEST = {"cpu": "sequential"}  # a loop over a fused body; elsewhere `parallel`

Inputs = tuple[Float[Array, "*B D"], Float[Array, "*B D"]]


class State(NamedTuple):
  """The average.

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


def decay_and_input(params: tuple[()], inputs: Inputs) -> tuple[Array, Array]:
  """Returns e^g_t and (1 - e^g_t) x_t, elementwise, in the state's dtype.

  Args:
    params: none.
    inputs: x and g as in `step`, of one token or of all.
  """
  x, g = (a.astype(scan.state_dtype(a.dtype)) for a in inputs)  # [..., D]
  return jnp.exp(g), -jnp.expm1(g) * x  # expm1: 1 - e^g is exact near g = 0


def step(params: tuple[()], inputs_t: Inputs, state: State) -> tuple[Array, State]:
  """Computes one token.

      h_t = e^g_t h_{t-1} + (1 - e^g_t) x_t

  The gate comes as its logarithm, so that both it and 1 less it are exact at both ends.
  minGRU: g = log(1 - z). minLSTM: g = log(f / (f + i)). HGRN: g = log f.

  Cost: two multiply-adds an element, and two exps.

  Args:
    params: none.
    inputs_t: x, what the average moves towards; g, the log of the forget gate, in
      [-inf, 0].
    state: what is remembered.

  Returns:
    h_t in the dtype of x, and the state.
  """
  a, b = decay_and_input(params, inputs_t)  # [B, D]
  h = a * state.h + b
  return h.astype(inputs_t[0].dtype), State(h)


def positive(x: Array) -> Array:
  """Maps x to a positive number: x + 1/2 from 0 on, sigmoid(x) below.

  minGRU and minLSTM apply it to their candidates; a memory of positive numbers may be
  computed by a scan over its logarithm.

  Source: Feng et al. 2024, arXiv:2410.01201, appendix B.
  """
  return jnp.where(x >= 0, x + 0.5, jax.nn.sigmoid(x))


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
  x, g, h = jax.random.split(key, 3)
  shape = (batch_size, length, dim)
  inputs = (
    jax.random.normal(x, shape),
    jax.nn.log_sigmoid(2 * jax.random.normal(g, shape)),
  )
  return (), inputs, State(jax.random.normal(h, (batch_size, dim)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Forget gates are exactly 0, exactly 1, 1 - 1e-7 and e^-40, mixed over time.
  """
  params, (x, g), state = example(key, batch_size, length)
  ends = jnp.array([-jnp.inf, 0.0, -1e-7, -40.0], g.dtype)
  # two channels never forget: what they hold from the first token on must not drift
  which = jax.random.randint(key, g.shape, 0, 4).at[..., 0].set(1).at[..., 1].set(2)
  return params, (x, ends[which]), state
