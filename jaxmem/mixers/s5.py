"""S5, a state space with one state for all features; or S4D, with one for each.

Source: Smith, Warrington and Linderman 2022, arXiv:2208.04933, section 3; Gu et al.
2022, arXiv:2206.11893, sections 3 and 4 (S4D-LegS).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number
from jaxmem.core.registry import nearest
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers import state_space
from jaxmem.layers.mixer import Memory, check_order
from jaxmem.layers.primitives import dense, named, wide
from jaxmem.ops import complex_diagonal
from jaxmem.ops.recurrence import hippo, scan

RULES = {"zoh": complex_diagonal.zero_order_hold, "bilinear": complex_diagonal.bilinear}


class S5(Memory):
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
    d_model: D, features in and out.
    state_size: P, real and imaginary parts in all; even.
    mimo: one system for all features (S5), or one for each (S4D).
    discretisation: "zoh" or "bilinear".
    min_step: of the time steps at the start, which are log-uniform.
    max_step: at the start.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; A, steps and state are float32.
  """

  d_model: int
  state_size: int = 64
  mimo: bool = True
  discretisation: str = "zoh"
  min_step: float = number(0.001, above=0)
  max_step: float = number(0.1, above=0)
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
    value = y if self.mimo else linear("value")
    return value * nn.sigmoid(linear("gate")), state

  @nn.nowrap
  def _check(self) -> None:
    if self.state_size % 2:
      raise ValueError(f"state_size {self.state_size} is odd: complex numbers take two")
    check_order(self, "min_step", "max_step")

  def _system(self) -> state_space.System:
    if self.discretisation not in RULES:
      hint = nearest(self.discretisation, list(RULES))
      raise ValueError(f"no discretisation {self.discretisation!r}: {hint}")
    size, d = self.state_size // 2, self.d_model
    rate, frequency, write, read = self._inits()
    step = state_space.log_uniform(self.min_step, self.max_step)

    def get(name, init, axes, shape):
      # C alone decays: in the authors' code B belongs to A and the steps
      return wide(self.param(name, named(init, axes, decay=name == "read"), shape))

    if self.mimo:
      shape, steps, axes = (size,), (size,), ("heads",)
      write = get("write", write, (None, "embed", "heads"), (2, d, size))
      read = get("read", read, (None, "heads", "embed"), (2, size, d))
    else:
      shape, steps, axes = (d, size), (d, 1), ("heads", "key")
      write = get("write", write, (None, "heads", "key"), (2, d, size))
      read = get("read", read, (None, "heads", "key"), (2, d, size))
    rate = -jnp.exp(get("rate", rate, axes, shape))
    rate = jax.lax.complex(rate, get("frequency", frequency, axes, shape))
    step = jnp.exp(get("step", step, axes, steps))
    decay, factor = RULES[self.discretisation](rate, step)
    write = factor * jax.lax.complex(*write)
    return state_space.System(_pair(decay), _pair(write), 2 * read)

  def _inits(self):
    """Of log -Re A, Im A, B and C, in the basis where HiPPO-LegS is diagonal."""
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
    ones = lambda key, shape, dtype=jnp.float32: jnp.ones(shape, dtype).at[1].set(0)
    return rate, frequency, ones, nn.initializers.normal(0.5**0.5)

  def init_state(self, batch_size: int) -> complex_diagonal.State:
    copies = 1 if self.mimo else self.d_model
    return complex_diagonal.init_state(batch_size, copies * (self.state_size // 2))

  def state_axes(self) -> complex_diagonal.State:
    return complex_diagonal.State(("batch", None, "heads"))


def _pair(a: Array) -> Array:
  """Real and imaginary part, on a new first axis."""
  return jnp.stack([a.real, a.imag])


def _product(a, b) -> Array:
  """The complex product of a real and a complex matrix, in either order."""
  cast = lambda m: jnp.asarray(m, jnp.complex64)
  return cast(a) @ cast(b)


OP = complex_diagonal
Mixer = S5
