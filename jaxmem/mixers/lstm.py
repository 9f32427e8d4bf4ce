"""LSTM as a mixer, with peepholes and layer norm. Source: see `jaxmem.ops.lstm`."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import named, sow_gates
from jaxmem.ops import lstm
from jaxmem.parallel import apply


class LSTM(Memory):
  """One LSTM layer of D cells; 8 D^2 + 4 D parameters, 8 D bytes of state a row.

      from jaxmem.mixers.lstm import LSTM
      mixer = LSTM(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and cells.
    forget_bias: the forget gate's bias at the start; positive remembers longer.
    peepholes: the gates see the cell; 3 D parameters more.
    layer_norm: normalises the products and the cell; 9 D parameters more.
    chunk_size: tokens whose input products are taken at once.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; the state is float32.
  """

  d_model: int
  forget_bias: float = number(1.0)
  peepholes: bool = False
  layer_norm: bool = False
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "nonlinear"

  @nn.compact
  def __call__(
    self, x: Activations, state: lstm.State, reset: Reset | None = None
  ) -> tuple[Activations, lstm.State]:
    d, init = self.d_model, nn.initializers

    def bias(key, shape, dtype=jnp.float32):
      return jnp.zeros(shape, dtype).at[d : 2 * d].set(self.forget_bias)

    w = self.param(
      "input", named(init.lecun_normal(), ("embed", None), decay=True), (d, 4 * d)
    )
    r = self.param(
      "recurrent", named(init.orthogonal(), (None, None), decay=True), (d, 4 * d)
    )
    b = self.param("bias", named(bias, (None,), decay=False), (4 * d,))
    dtype = jnp.dtype(self.dtype)
    params = [a.astype(dtype) for a in (w, r, b)]
    if self.peepholes:
      params.append(
        self.param("peepholes", named(init.zeros, (None, None), decay=False), (3, d))
      )
    if self.layer_norm:
      for name, size in (("input", 4 * d), ("recurrent", 4 * d), ("cell", d)):
        params.append(
          self.param(f"{name}_gain", named(init.ones, (None,), decay=False), (size,))
        )
    given = tuple(params), (x.astype(dtype),), state, reset
    options = dict(peepholes=self.peepholes, layer_norm=self.layer_norm)
    sow_gates(self, self.op(lstm), *given, **options)
    sizes = {"chunk_size": self.chunk_size}
    return apply.apply(self.op(lstm), self.form, *given, sizes=sizes, **options)

  def init_state(self, batch_size: int) -> lstm.State:
    return lstm.init_state(batch_size, self.d_model)

  def state_axes(self) -> lstm.State:
    return lstm.State(("batch", None), ("batch", None))


Mixer = LSTM
