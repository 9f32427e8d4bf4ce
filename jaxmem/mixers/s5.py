"""S5, a state space with one state for all features; or S4D, with one for each.

Source: Smith, Warrington and Linderman 2022, arXiv:2208.04933, section 3; Gu et al.
2022, arXiv:2206.11893, sections 3 and 4 (S4D-LegS).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number, word
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import named, wide
from jaxmem.layers.state_space import StateSpace, System, log_uniform
from jaxmem.ops import complex_diagonal
from jaxmem.ops.recurrence import hippo

RULES = {"zoh": complex_diagonal.zero_order_hold, "bilinear": complex_diagonal.bilinear}


class S5(StateSpace):
  """An S5 layer; 2 P D + 3/2 P + D + D^2 parameters, 4 P bytes of state a row.

      h' = A h + B x over a step dt,  y = gelu(2 Re(C h) + skip x),  y sigmoid(W_g y)

  A is diagonal, one number of every complex pair is kept, and it starts as HiPPO-LegS.
  With `mimo=False` this is S4D: every feature has P/2 complex numbers and a step of its
  own, and a linear map of y mixes the features. Its state is 4 P D bytes a row, and it
  is run as a recurrence, which holds as much for every token of a training step.

      from jaxmem.mixers.s5 import S5
      mixer = S5(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    state_size: P, real and imaginary parts in all; even.
    mimo: one system for all features (S5), or one for each (S4D).
    discretisation: "zoh" or "bilinear".
    min_step: of the time steps at the start, which are log-uniform.
    max_step: at the start.
    others: see `StateSpace`.
  """

  state_size: int = 64
  mimo: bool = True
  discretisation: str = word("zoh", tuple(RULES))
  min_step: float = number(0.001, above=0)
  max_step: float = number(0.1, at_least="min_step")

  @nn.compact
  def __call__(
    self, x: Activations, state: complex_diagonal.State, reset: Reset | None = None
  ) -> tuple[Activations, complex_diagonal.State]:
    x = x.astype(jnp.dtype(self.dtype))
    y, state = self._respond(self._system(), x, state, reset)  # [B, T, D]
    # features that share no system meet in a linear map
    value = y if self.mimo else self._linear(y, "value")
    return value * nn.sigmoid(self._linear(y, "gate")), state

  @nn.nowrap
  def _check(self) -> None:
    if self.state_size % 2:
      raise ValueError(f"state_size {self.state_size} is odd: complex numbers take two")

  def _system(self) -> System:
    size, d = self.state_size // 2, self.d_model
    rate, frequency, write, read = self._inits()
    if self.mimo:  # [2, D, N], [2, N, D]; N rates and steps
      write = self._param("write", write, (None, "embed", "heads"), (2, d, size))
      read = self._param("read", read, (None, "heads", "embed"), (2, size, d))
      axes: tuple[str, ...] = ("heads",)
      shape: tuple[int, ...] = (size,)
      steps = shape
    else:  # [2, D, N], [2, D, N]; D N rates, D steps
      write = self._param("write", write, (None, "heads", "key"), (2, d, size))
      read = self._param("read", read, (None, "heads", "key"), (2, d, size))
      shape, steps, axes = (d, size), (d, 1), ("heads", "key")
    rate = -jnp.exp(self._param("rate", rate, axes, shape))  # Re A < 0: it decays
    rate = jax.lax.complex(rate, self._param("frequency", frequency, axes, shape))
    init = log_uniform(self.min_step, self.max_step)
    step = jnp.exp(self._param("step", init, axes, steps))
    decay, factor = RULES[self.discretisation](rate, step)
    write = factor * jax.lax.complex(*write)
    return System(_pair(decay), _pair(write), 2 * read)  # 2: of each pair one is kept

  def _param(
    self,
    name: str,
    init: nn.initializers.Initializer,
    axes: tuple[str | None, ...],
    shape: tuple[int, ...],
  ) -> Array:
    """A parameter of the system, in float32."""
    # C alone decays: in the authors' code B belongs to A and the steps
    return wide(self.param(name, named(init, axes, decay=name == "read"), shape))

  def _inits(self):
    """Initializers of log -Re A, Im A, B and C, where HiPPO-LegS is diagonal."""
    values, vectors = hippo.eigen(self.state_size)

    def rate(key, shape, dtype=jnp.float32):
      return jnp.broadcast_to(jnp.asarray(np.log(-values.real), dtype), shape)

    def frequency(key, shape, dtype=jnp.float32):
      return jnp.broadcast_to(jnp.asarray(values.imag, dtype), shape)

    def lecun(key, rows, columns):
      return jax.random.normal(key, (rows, columns)) * rows**-0.5

    def write(key, shape, dtype=jnp.float32):
      b = lecun(key, self.d_model, self.state_size)  # in the basis of HiPPO-LegS
      return _pair(_product(b, vectors.conj())).astype(dtype)

    def read(key, shape, dtype=jnp.float32):
      c = lecun(key, self.state_size, self.d_model)
      return _pair(_product(vectors.conj().T, c)).astype(dtype)

    if self.mimo:
      return rate, frequency, write, read
    return rate, frequency, _real_ones, nn.initializers.normal(0.5**0.5)

  @property
  def _state_spec(self) -> OpState:
    systems = 1 if self.mimo else self.d_model
    return OpState(complex_diagonal, (systems * (self.state_size // 2),))


def _real_ones(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """1 + 0i, as pairs on the first axis."""
  del key
  return jnp.ones(shape, dtype).at[1].set(0)


def _pair(a: Array) -> Array:
  """Real and imaginary part, on a new first axis."""
  return jnp.stack([a.real, a.imag])


def _product(a: Array | np.ndarray, b: Array | np.ndarray) -> Array:
  """The complex product of a real and a complex matrix, in either order."""
  return jnp.asarray(a, jnp.complex64) @ jnp.asarray(b, jnp.complex64)


OP = complex_diagonal
Mixer = S5
