"""What layers around a complex diagonal memory share: the system and its response."""

import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense, named
from jaxmem.ops import complex_diagonal
from jaxmem.ops.recurrence import scan
from jaxmem.ops.recurrence.precision import einsum


class System(NamedTuple):
  """h_t = lambda h_{t-1} + B x_t, y_t = Re(C h_t), complex numbers as two floats.

  Attributes:
    decay: lambda, [2, N], or [2, D, N] where every feature has N states of its own.
    write: B, the input matrix, [2, D, N].
    read: C, the output matrix, [2, N, D], or [2, D, N] where decay has D; its second
      part is -Im C.
  """

  decay: Array
  write: Float[Array, "2 D N"]
  read: Float[Array, "2 _ _"]


class StateSpace(Memory):
  """The parts of a layer around a complex diagonal memory and the gate behind it.

  A subclass makes the system, and declares the size of its state in `_state_spec`.

  Attributes:
    d_model: D, features in and out.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; the system and the state are float32.
  """

  d_model: int
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  def _respond(
    self,
    system: System,
    x: Activations,
    state: complex_diagonal.State,
    reset: Reset | None,
  ) -> tuple[Activations, complex_diagonal.State]:
    """Returns gelu(y + skip x) of the system's y, and the state."""
    if self.is_mutable_collection("intermediates"):
      self.sow("intermediates", "log_decay", _log_decay(system))
    y, state = self._run(system, x, state, reset)  # [B, T, D]
    normal = named(nn.initializers.normal(1.0), ("embed",), decay=False)
    skip = self.param("skip", normal, (self.d_model,))
    return nn.gelu(y + scan.per_channel(skip, x) * x), state

  def _run(
    self,
    system: System,
    x: Activations,
    state: complex_diagonal.State,
    reset: Reset | None,
  ) -> tuple[Activations, complex_diagonal.State]:
    """Returns y in the dtype of x, as the products are, and the state in float32."""
    write, read = system.write.astype(x.dtype), system.read.astype(x.dtype)
    # p is the axis of real and imaginary part
    to_state, to_output = "btd,pdn->btpn", "btpn,pnd->btd"
    if system.decay.ndim == 3:  # every feature has states of its own
      to_state, to_output = "btd,pdn->btpdn", "btpdn,pdn->btd"
    u = einsum(to_state, x, write, jnp.float32)  # [B, T, 2, N] or [B, T, 2, D, N]
    flat = u.reshape(*u.shape[:3], math.prod(u.shape[3:]))  # the op has one axis of N
    decay = system.decay.reshape(2, -1)  # [2, N] or [2, D N]
    h, state = self._recall(complex_diagonal, (flat,), state, reset, (decay,))
    y = einsum(to_output, h.reshape(u.shape).astype(x.dtype), read, jnp.float32)
    return y.astype(x.dtype), state

  def _linear(self, y: Activations, name: str) -> Activations:
    """Returns a linear map of y to D features, for the gate behind the memory."""
    return dense(self.d_model, ("embed", "mlp"), name, self.dtype)(y)


def _log_decay(system: System) -> Float[Array, "1 1 N"]:
  """Returns log |lambda|, which is the same for every row and token."""
  square = jnp.square(system.decay).sum(0).reshape(1, 1, -1)
  return jnp.log(square) / 2


def log_uniform(low: float, high: float) -> jax.nn.initializers.Initializer:
  """Returns an initializer that draws the log of a log-uniform number.

  Args:
    low: the smallest number, above 0.
    high: the largest number.
  """

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, jnp.log(low), jnp.log(high))

  return init  # type: ignore[return-value] # JAX's may give a sharding, too
