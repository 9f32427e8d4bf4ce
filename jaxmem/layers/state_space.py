"""What layers around a complex diagonal memory share."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.op import Op
from jaxmem.core.typing import Activations, Reset
from jaxmem.ops import complex_diagonal
from jaxmem.ops.recurrence.precision import einsum
from jaxmem.parallel import apply


class System(NamedTuple):
  """h_t = lambda h_{t-1} + B x_t, y_t = Re(C h_t), complex numbers as two floats.

  Attributes:
    decay: lambda, [2, N], or [2, D, N] where every feature has its own N numbers.
    write: B, [2, D, N].
    read: C, [2, N, D], or [2, D, N] as decay; its second part is -Im C.
  """

  decay: Array
  write: Float[Array, "2 D N"]
  read: Float[Array, "2 _ _"]


def run(
  op: Op,
  form: str,
  system: System,
  x: Activations,
  state: complex_diagonal.State,
  reset: Reset | None,
) -> tuple[Activations, complex_diagonal.State]:
  """y, and the state: products and y in the dtype of x, the state in float32."""
  write, read = system.write.astype(x.dtype), system.read.astype(x.dtype)
  into, out = "btd,pdn->btpn", "btpn,pnd->btd"
  if system.decay.ndim == 3:
    into, out = "btd,pdn->btpdn", "btpdn,pdn->btd"
  u = einsum(into, x, write, jnp.float32)
  flat = u.reshape(*u.shape[:3], math.prod(u.shape[3:]))
  decay = (system.decay.reshape(2, -1),)
  h, state = apply.apply(op, form, decay, (flat,), state, reset)
  y = einsum(out, h.reshape(u.shape).astype(x.dtype), read, jnp.float32)
  return y.astype(x.dtype), state


def log_decay(system: System) -> Float[Array, "1 1 N"]:
  """log |lambda|, the same of every row and token."""
  square = jnp.square(system.decay).sum(0).reshape(1, 1, -1)
  return jnp.log(square) / 2


def log_uniform(low: float, high: float) -> jax.nn.initializers.Initializer:
  """An initializer: the log of what is log-uniform in low..high."""

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, jnp.log(low), jnp.log(high))

  return init
