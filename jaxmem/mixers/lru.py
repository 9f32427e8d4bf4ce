"""LRU, the linear recurrent unit: a complex diagonal memory on a ring, and a GLU.

Source: Orvieto et al. 2023, arXiv:2303.06349, section 3 and figure 1.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers import state_space
from jaxmem.layers.mixer import Memory, check_order
from jaxmem.layers.primitives import dense, named, wide
from jaxmem.ops import complex_diagonal
from jaxmem.ops.recurrence import scan


class LRU(Memory):
  """An LRU layer; 4 N D + 3 N + 2 D^2 + D parameters, 8 N bytes of state a row.

      lambda = exp(-exp(nu) + i exp(theta)),    h_t = lambda h_{t-1} + exp(gain) B x_t
      y = gelu(Re(C h) + skip x),    W_v y sigmoid(W_g y)

      from jaxmem.mixers.lru import LRU
      mixer = LRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    state_size: N, complex numbers; 0 is D.
    min_decay: of |lambda| at the start, whose square is uniform.
    max_decay: below 1.
    max_phase: of lambda at the start, uniform from 0; radians a token.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; lambda and the state are float32.
  """

  d_model: int
  state_size: int = 0
  min_decay: float = number(0.9, at_least=0, below=1)
  max_decay: float = number(0.999, above=0, below=1)
  max_phase: float = number(6.28, above=0)
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: complex_diagonal.State, reset: Reset | None = None
  ) -> tuple[Activations, complex_diagonal.State]:
    x = x.astype(jnp.dtype(self.dtype))
    system = self._system()
    if self.is_mutable_collection("intermediates"):
      self.sow("intermediates", "log_decay", state_space.log_decay(system))
    y, state = state_space.run(
      self.op(complex_diagonal), self.form, system, x, state, reset
    )
    normal = named(nn.initializers.normal(1.0), ("embed",), decay=False)
    skip = self.param("skip", normal, (self.d_model,))
    y = nn.gelu(y + scan.per_channel(skip, x) * x)
    linear = lambda name: dense(self.d_model, ("embed", "mlp"), name, self.dtype)(y)
    return linear("value") * nn.sigmoid(linear("gate")), state

  @nn.nowrap
  def _check(self) -> None:
    if self.min_decay > self.max_decay:
      raise ValueError(
        f"min_decay is {self.min_decay}: it must be at most max_decay, {self.max_decay}"
      )

  def _system(self) -> state_space.System:
    size, d = self._size, self.d_model
    vector = lambda name, init: wide(
      self.param(name, named(init, ("heads",), decay=False), (size,))
    )
    nu, theta = vector("nu", self._nu_init), vector("theta", self._theta_init)

    def gain_init(key, shape, dtype=jnp.float32) -> Float[Array, " N"]:
      """log sqrt(1 - |lambda|^2): what keeps h as large as B x."""
      return jnp.log(-jnp.expm1(-2 * jnp.exp(nu))).astype(dtype) / 2

    gain = jnp.exp(vector("gain", gain_init))
    normal = nn.initializers.normal
    # what is written belongs to the recurrence, which the authors do not decay
    into = named(normal((2 * d) ** -0.5), (None, "embed", "heads"), decay=False)
    out = named(normal(size**-0.5), (None, "heads", "embed"), decay=True)
    modulus, phase = jnp.exp(-jnp.exp(nu)), jnp.exp(theta)
    return state_space.System(
      decay=jnp.stack([modulus * jnp.cos(phase), modulus * jnp.sin(phase)]),
      write=wide(self.param("write", into, (2, d, size))) * gain,
      read=self.param("read", out, (2, size, d)),
    )

  @nn.nowrap
  def _check(self) -> None:
    check_order(self, "min_decay", "max_decay")

  def _nu_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    low, high = self.min_decay**2, self.max_decay**2
    square = jax.random.uniform(key, shape, dtype, low, high)
    return jnp.log(-jnp.log(square) / 2)

  def _theta_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    phase = jax.random.uniform(key, shape, dtype, 1e-4, 1.0)
    return jnp.log(self.max_phase * phase)

  @property
  def _size(self) -> int:
    return self.state_size or self.d_model

  def init_state(self, batch_size: int) -> complex_diagonal.State:
    return complex_diagonal.init_state(batch_size, self._size)

  def state_axes(self) -> complex_diagonal.State:
    return complex_diagonal.State(("batch", None, "heads"))


OP = complex_diagonal
Mixer = LRU
