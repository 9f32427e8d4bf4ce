"""LSTM as a mixer, with peepholes and layer norm. Source: see `jaxmem.ops.lstm`."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.cells import Cells
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import named
from jaxmem.ops import lstm


class LSTM(Cells):
  """One LSTM layer of D cells; 8 D^2 + 4 D parameters, 8 D bytes of state a row.

      from jaxmem.mixers.lstm import LSTM
      mixer = LSTM(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    forget_bias: the forget gate's bias at the start; positive remembers longer.
    peepholes: the gates see the cell; 3 D parameters more.
    layer_norm: normalises the products and the cell; 9 D parameters more.
    others: see `Cells`.
  """

  forget_bias: float = number(1.0)
  peepholes: bool = False
  layer_norm: bool = False

  @nn.compact
  def __call__(
    self, x: Activations, state: lstm.State, reset: Reset | None = None
  ) -> tuple[Activations, lstm.State]:
    dtype = jnp.dtype(self.dtype)
    weights = self._weights(4, bias=self._bias_init)  # [D, 4 D], [D, 4 D], [4 D]
    params = (*(a.astype(dtype) for a in weights), *self._peepholes(), *self._gains())
    options = dict(peepholes=self.peepholes, layer_norm=self.layer_norm)
    return self._recall_gated(lstm, (x.astype(dtype),), state, reset, params, **options)

  def _bias_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    d = self.d_model
    return jnp.zeros(shape, dtype).at[d : 2 * d].set(self.forget_bias)

  def _peepholes(self) -> list[Array]:
    """[3, D], a row a gate, in float32 like the cell that they multiply."""
    if not self.peepholes:
      return []
    zeros = named(nn.initializers.zeros, (None, None), decay=False)
    return [self.param("peepholes", zeros, (3, self.d_model))]

  def _gains(self) -> list[Array]:
    """The scales of the layer norms: [4 D], [4 D] and [D]."""
    if not self.layer_norm:
      return []
    ones, d = named(nn.initializers.ones, (None,), decay=False), self.d_model
    sizes = {"input": 4 * d, "recurrent": 4 * d, "cell": d}
    return [self.param(f"{name}_gain", ones, (n,)) for name, n in sizes.items()]

  @property
  def _state_spec(self) -> OpState:
    return OpState(lstm, (self.d_model,))


Mixer = LSTM
