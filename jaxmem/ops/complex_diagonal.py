"""h_t = lambda h_{t-1} + u_t with complex lambda: the memory of LRU, S5 and S4D.

Complex numbers cross the border of the op as two floats, real part first, on the axis
before the last: a last axis of 2 would be padded to 128 on a TPU.

Source: Orvieto et al. 2023, arXiv:2303.06349, section 3; Smith, Warrington and
Linderman 2022, arXiv:2208.04933, section 3; Gu et al. 2022, arXiv:2206.11893.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import linear_scan, scan

TRANSITION = "complex"
VALUE = 0  # u, without which nothing is written
REVERSE_ONLY = ("sequential",)
FASTEST = {"cpu": "sequential"}  # a loop over a fused body; elsewhere `parallel`

Params = tuple[Float[Array, "2 N"]]


class State(NamedTuple):
  """The state of N complex numbers.

  Attributes:
    h: [B, 2, N], float32 (float64 under float64 inputs).
  """

  h: Array


def init_state(batch_size: int, dim: int, dtype=jnp.float32) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    dim: N, complex numbers.
    dtype: of the state.
  """
  return State(jnp.zeros((batch_size, 2, dim), dtype))


def to_complex(h: Float[Array, "*B 2 N"]) -> Complex[Array, "*B N"]:
  """Joins a real and an imaginary part into one complex number."""
  return jax.lax.complex(h[..., 0, :], h[..., 1, :])


def from_complex(h: Complex[Array, "*B N"]) -> Float[Array, "*B 2 N"]:
  """Splits complex numbers into real and imaginary parts: inverts `to_complex`."""
  return jnp.stack([h.real, h.imag], axis=-2)


def step(
  params: Params, inputs_t: tuple[Float[Array, "B 2 N"]], state: State
) -> tuple[Float[Array, "B 2 N"], State]:
  """Computes one token.

      h_t = lambda h_{t-1} + u_t

  Cost: 4 N multiply-adds.

  Args:
    params: lambda, with |lambda| <= 1.
    inputs_t: u, B x_t after discretisation and normalisation.
    state: what is remembered.

  Returns:
    h_t in the dtype of u, and the state.
  """
  (lam,), (u,) = params, inputs_t
  # complex64 is made of float32, so bfloat16 is widened before it becomes complex
  lam, h, u = (a.astype(state.h.dtype) for a in (lam, state.h, u))
  h = from_complex(to_complex(lam) * to_complex(h) + to_complex(u))  # [B, 2, N]
  return h.astype(inputs_t[0].dtype), State(h)


def parallel(
  params: Params,
  inputs: tuple[Float[Array, "B T 2 N"]],
  state: State,
  reset: Reset | None = None,
) -> tuple[Float[Array, "B T 2 N"], State]:
  """Computes all tokens at once by an associative scan: `linear_scan.associative`.

  Args:
    params: lambda.
    inputs: u, as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.

  Returns:
    h in the dtype of u, and the memory after the last token.
  """
  (lam,), (u,) = params, inputs
  dtype = scan.state_dtype(u.dtype)
  lam, b, h0 = (to_complex(a.astype(dtype)) for a in (lam, u, state.h))
  # an associative scan needs a decay of its own for every token: [B, T, N]
  a = linear_scan.decay_or_forget(jnp.broadcast_to(lam, b.shape), reset)
  h, last = linear_scan.associative(a, b, h0)  # [B, T, N], [B, N]
  return from_complex(h).astype(u.dtype), State(from_complex(last))


def sequential(
  params: Params,
  inputs: tuple[Float[Array, "B T 2 N"]],
  state: State,
  reset: Reset | None = None,
) -> tuple[Float[Array, "B T 2 N"], State]:
  """Computes all tokens by a loop with its own reverse pass: `linear_scan.constant`.

  Args:
    params: lambda.
    inputs: u, as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.

  Returns:
    h in the dtype of u, and the memory after the last token.
  """
  (lam,), (u,) = params, inputs
  dtype = scan.state_dtype(u.dtype)
  # time is put first while they are floats: XLA on CPU then turns and packs in one pass
  lam, b, h0 = (to_complex(a.astype(dtype)) for a in (lam, u.swapaxes(0, 1), state.h))
  h = linear_scan.constant(lam, None if reset is None else reset.T, b, h0)  # [T, B, N]
  h = from_complex(h)  # [T, B, 2, N]
  return h.swapaxes(0, 1).astype(u.dtype), State(h[-1])


def zero_order_hold(rate: Complex[Array, "*N"], dt: Array) -> tuple[Array, Array]:
  """Discretises h' = rate h + B x over a step dt during which x is constant.

      lambda = exp(rate dt),    (lambda - 1) / rate

  Args:
    rate: of the continuous system, with a real part < 0.
    dt: the time step, > 0, broadcast against the rate.

  Returns:
    lambda, and the factor of B.

  Source: arXiv:2208.04933, eq. 6.
  """
  z = rate * dt.astype(rate.dtype)  # [N]
  return jnp.exp(z), jnp.expm1(z) / rate  # expm1: exp(z) - 1 loses a small step


def bilinear(rate: Complex[Array, "*N"], dt: Array) -> tuple[Array, Array]:
  """Discretises h' = rate h + B x by the trapezoid rule.

      lambda = (1 + rate dt / 2) / (1 - rate dt / 2),    dt / (1 - rate dt / 2)

  Args:
    rate: of the continuous system, with a real part < 0.
    dt: the time step, > 0, broadcast against the rate.

  Returns:
    lambda, and the factor of B.
  """
  dt = dt.astype(rate.dtype)
  half = rate * dt / 2
  return (1 + half) / (1 - half), dt / (1 - half)


AXES = State(("batch", None, "heads"))
FORMS = scan.of_any_rows(
  {
    "recurrent": scan.recurrent(step),
    "parallel": parallel,
    "sequential": sequential,
  }
)


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  dim = 4
  modulus, angle, u, h = jax.random.split(key, 4)
  modulus = jax.random.uniform(modulus, (dim,), minval=0.4, maxval=0.999)
  angle = jax.random.uniform(angle, (dim,), minval=-jnp.pi, maxval=jnp.pi)
  lam = jnp.stack([modulus * jnp.cos(angle), modulus * jnp.sin(angle)])  # [2, N]
  inputs = (jax.random.normal(u, (batch_size, length, 2, dim)),)
  return (lam,), inputs, State(jax.random.normal(h, (batch_size, 2, dim)))


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  |lambda| is 1 - 1e-6 at a small, a large and a flipping angle, and lambda is 0 once.
  """
  _, inputs, state = example(key, batch_size, length)
  angle = jnp.array([1e-4, 2.0, jnp.pi, 0.0])
  modulus = jnp.array([1 - 1e-6, 1 - 1e-6, 1 - 1e-6, 0.0])
  lam = jnp.stack([modulus * jnp.cos(angle), modulus * jnp.sin(angle)])
  return (lam,), inputs, state
