"""LRU, the linear recurrent unit: a complex diagonal memory on a ring, and a GLU.

Source: Orvieto et al. 2023, arXiv:2303.06349, section 3 and figure 1.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import named, wide
from jaxmem.layers.state_space import StateSpace, System
from jaxmem.ops import complex_diagonal


class LRU(StateSpace):
  """An LRU layer; 4 N D + 3 N + 2 D^2 + D parameters, 8 N bytes of state a row.

      lambda = exp(-exp(nu) + i exp(theta)),    h_t = lambda h_{t-1} + exp(gain) B x_t
      y = gelu(Re(C h) + skip x),    W_v y sigmoid(W_g y)

      from jaxmem.mixers.lru import LRU
      mixer = LRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    state_size: N, complex numbers; 0 is D.
    min_decay: of |lambda| at the start, whose square is uniform.
    max_decay: below 1.
    max_phase: of lambda at the start, uniform from 0; radians a token.
    others: see `StateSpace`.
  """

  state_size: int = 0
  min_decay: float = number(0.9, at_least=0, below=1)
  max_decay: float = number(0.999, above=0, at_least="min_decay", below=1)
  max_phase: float = number(6.28, above=0)

  @nn.compact
  def __call__(
    self, x: Activations, state: complex_diagonal.State, reset: Reset | None = None
  ) -> tuple[Activations, complex_diagonal.State]:
    x = x.astype(jnp.dtype(self.dtype))
    y, state = self._respond(self._system(), x, state, reset)  # [B, T, D]
    return self._linear(y, "value") * nn.sigmoid(self._linear(y, "gate")), state

  def _system(self) -> System:
    size, d = self._size, self.d_model
    nu = self._vector("nu", self._nu_init)  # [N]
    theta = self._vector("theta", self._theta_init)  # [N]

    def gain_init(key, shape, dtype=jnp.float32) -> Float[Array, " N"]:
      """log sqrt(1 - |lambda|^2): what keeps h as large as B x."""
      return jnp.log(-jnp.expm1(-2 * jnp.exp(nu))).astype(dtype) / 2

    gain = jnp.exp(self._vector("gain", gain_init))  # [N]
    normal = nn.initializers.normal
    # what is written belongs to the recurrence, which the authors do not decay
    into = named(normal((2 * d) ** -0.5), (None, "embed", "heads"), decay=False)
    out = named(normal(size**-0.5), (None, "heads", "embed"), decay=True)
    modulus, phase = jnp.exp(-jnp.exp(nu)), jnp.exp(theta)  # [N], [N]
    return System(
      decay=jnp.stack([modulus * jnp.cos(phase), modulus * jnp.sin(phase)]),
      write=wide(self.param("write", into, (2, d, size))) * gain,
      read=self.param("read", out, (2, size, d)),
    )

  def _vector(self, name: str, init: nn.initializers.Initializer) -> Float[Array, " N"]:
    """A parameter of N numbers, in float32: exp must not be rounded to bfloat16."""
    return wide(self.param(name, named(init, ("heads",), decay=False), (self._size,)))

  def _nu_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """log -log |lambda|, |lambda|^2 uniform: uniform on a ring of the unit disk."""
    low, high = self.min_decay**2, self.max_decay**2
    square = jax.random.uniform(key, shape, dtype, low, high)
    return jnp.log(-jnp.log(square) / 2)

  def _theta_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    phase = jax.random.uniform(key, shape, dtype, 1e-4, 1.0)
    return jnp.log(self.max_phase * phase)

  @property
  def _size(self) -> int:
    return self.state_size or self.d_model

  @property
  def _state_spec(self) -> OpState:
    return OpState(complex_diagonal, (self._size,))


OP = complex_diagonal
Mixer = LRU
