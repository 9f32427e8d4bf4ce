"""A leaky sum: every channel decays at a rate and adds its input.

`jaxmem.core.op.Op` lists the names that an op file may define.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxmem.ops.recurrence import linear_scan, scan
from jaxtyping import Array, Float

# How a token changes the state: here by one number a channel. Others are "matrix", and
# None for what is not linear; see `Op.transition`.
TRANSITION = "diagonal"
VALUE = 0  # the index of x, the input that is written to the state
REVERSE_ONLY = ()  # forms without forward-mode derivatives

Inputs = tuple[Float[Array, "*B D"], Float[Array, "*B D"]]


class State(NamedTuple):
  """The sums h, [B, D], in float32; zeros are the empty memory."""

  h: Array


def init_state(batch_size: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory."""
  return State(jnp.zeros((batch_size, dim), dtype))


def decay_and_input(params: tuple[()], inputs: Inputs) -> tuple[Array, Array]:
  """Returns e^g_t and x_t, in the dtype of the state."""
  x, g = (a.astype(scan.state_dtype(a.dtype)) for a in inputs)
  return jnp.exp(g), x


def step(params: tuple[()], inputs_t: Inputs, state: State) -> tuple[Array, State]:
  """Reads one token; this is the definition that every form must equal.

      h_t = e^g_t h_{t-1} + x_t,    y_t = h_t

  Cost: one multiply-add and one exp an element.

  Args:
    params: empty.
    inputs_t: x, which is added; g, the log of the decay, <= 0.
    state: before the token.

  Returns:
    h_t in the dtype of x, and the state after the token.
  """
  a, b = decay_and_input(params, inputs_t)  # [B, D] each
  h = a * state.h + b  # [B, D]
  return h.astype(inputs_t[0].dtype), State(h)


# The logical names of the axes of the state, for sharding.
AXES = State(("batch", "heads"))
# The first form is the reference. Begin with it alone, and add faster ones later.
FORMS = scan.of_any_rows(
  {
    "recurrent": scan.recurrent(step),
    "parallel": linear_scan.form(decay_and_input, "parallel"),
  }
)


def example(key: Array, batch_size: int, length: int):
  """Returns params, inputs and a state that is not empty, small and random."""
  x, g, h = jax.random.split(key, 3)
  shape = (batch_size, length, 4)  # [B, T, D]
  decays = jax.nn.log_sigmoid(2 * jax.random.normal(g, shape))
  inputs = (jax.random.normal(x, shape), decays)
  return (), inputs, State(jax.random.normal(h, (batch_size, 4)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: decays of exactly 0, 1, 1 - 1e-7 and e^-40."""
  params, (x, g), state = example(key, batch_size, length)
  ends = jnp.array([-jnp.inf, 0.0, -1e-7, -40.0], g.dtype)
  return params, (x, ends[jax.random.randint(key, g.shape, 0, 4)]), state
