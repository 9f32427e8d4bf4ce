"""A causal depthwise convolution of a few taps: the shortest memory there is.

Mixers put it before a recurrence (H3, Mamba, Griffin, DeltaNet). It looks back over
document borders like any memory does, and so obeys the same laws.

Source: Dao et al. 2022, arXiv:2212.14052, section 3 (the shift state space model).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import scan

TRANSITION = None
REVERSE_ONLY = ()

Params = tuple[Float[Array, "L D"]]


class State(NamedTuple):
  """The inputs before.

  Attributes:
    past: [B, L - 1, D], the last inputs, oldest first, in the inputs' dtype.
  """

  past: Array


def init_state(batch_size: int, taps: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    taps: L, taps of the filter.
    dim: D, channels.
    dtype: of the state.
  """
  return State(jnp.zeros((batch_size, taps - 1, dim), dtype))


def step(
  params: Params, inputs_t: tuple[Float[Array, "B D"]], state: State
) -> tuple[Float[Array, "B D"], State]:
  """Computes one token.

      y_t = sum_{l=0}^{L-1} w_l x_{t-l}

  Cost: L D multiplies.

  Args:
    params: w, one filter a channel; tap 0 is the present.
    inputs_t: x.
    state: the inputs before.

  Returns:
    y_t in the dtype of x, and the state.
  """
  (w,), (x,) = params, inputs_t
  past = state.past.astype(x.dtype)
  window = jnp.concatenate([past, x[:, None]], axis=1)  # [B, L, D]
  # newest first, as tap 0 is the present
  y = jnp.einsum("bld,ld->bd", window[:, ::-1], w.astype(x.dtype))  # [B, D]
  return y, State(window[:, 1:].astype(state.past.dtype))


def parallel(
  params: Params,
  inputs: tuple[Float[Array, "B T D"]],
  state: State,
  reset: Reset | None = None,
) -> tuple[Float[Array, "B T D"], State]:
  """Computes all tokens at once: L shifted products, cut where a document begins.

  Equal to `step` scanned over time. Cost: L T D multiplies, no loop.

  Args:
    params: w, as in `step`.
    inputs: x.
    state: the inputs before the first token.
    reset: True on the first token of a document.

  Returns:
    y in the dtype of x, and the state after the last token.
  """
  (w,), (x,) = params, inputs
  (taps, _), length = w.shape, x.shape[1]
  line = jnp.concatenate([state.past.astype(x.dtype), x], axis=1)  # [B, L - 1 + T, D]
  document = jnp.zeros((x.shape[0], length), jnp.int32)
  if reset is not None:
    document = scan.documents(reset)
  document = jnp.pad(document, ((0, 0), (taps - 1, 0)))  # the past is document 0

  def lagged(a, lag):
    """The tokens `lag` places before those of the call, [B, T, ...]."""
    return a[:, taps - 1 - lag :][:, :length]

  # per_channel: gradients of the taps are sums over [B, T], slow on CPU if implicit
  y = scan.per_channel(w[0], x) * x
  for lag in range(1, taps):
    same = (lagged(document, lag) == lagged(document, 0))[..., None]  # [B, T, 1]
    y = y + scan.per_channel(w[lag], x) * jnp.where(same, lagged(line, lag), 0)
  # what ended inside the call must not be seen by the next one
  current = (document == document[:, -1:])[..., None]
  past = jnp.where(current, line, 0)[:, length:]  # [B, L - 1, D]
  return y, State(past.astype(state.past.dtype))


AXES = State(("batch", None, "heads"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def join(before: State, after: State, length: int) -> State:
  """Returns the state after two stretches of one document.

  Args:
    before: what the first stretch left.
    after: what the second one left in an empty memory.
    length: tokens of the second.
  """
  size = after.past.shape[1]  # L - 1
  new = min(length, size)  # a stretch may be shorter than the window
  past = [before.past[:, new:], after.past[:, size - new :]]
  return State(jnp.concatenate(past, axis=1))


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  taps, dim = 4, 3
  w, x, past = jax.random.split(key, 3)
  params = (jax.random.normal(w, (taps, dim)),)
  inputs = (jax.random.normal(x, (batch_size, length, dim)),)
  return params, inputs, State(jax.random.normal(past, (batch_size, taps - 1, dim)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  The inputs are large and cancel.
  """
  params, (x,), state = example(key, batch_size, length)
  sign = jnp.where(jnp.arange(length) % 2 == 0, 1.0, -1.0)  # sums of +-100 cancel
  return params, (100 * sign[:, None] + x,), state
