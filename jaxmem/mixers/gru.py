"""GRU as a mixer. Source: see `jaxmem.ops.gru`."""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.cells import Cells
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import named
from jaxmem.ops import gru


class GRU(Cells):
  """One GRU layer of D units; 6 D^2 + 4 D parameters, 4 D bytes of state a row.

      from jaxmem.mixers.gru import GRU
      mixer = GRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    reset_after: the reset gate acts on the recurrent product, as in torch and cuDNN; if
      False on what enters it, as in the paper, with D parameters less.
    others: see `Cells`.
  """

  reset_after: bool = True

  @nn.compact
  def __call__(
    self, x: Activations, state: gru.State, reset: Reset | None = None
  ) -> tuple[Activations, gru.State]:
    weights = list(self._weights(3))  # [D, 3 D], [D, 3 D], [3 D]
    if self.reset_after:  # the recurrent product has a bias, which the gate acts on
      zeros = named(nn.initializers.zeros, (None,), decay=False)
      weights.append(self.param("read_bias", zeros, (self.d_model,)))
    dtype = jnp.dtype(self.dtype)
    params = tuple(a.astype(dtype) for a in weights)
    inputs, reset_after = (x.astype(dtype),), self.reset_after
    return self._recall_gated(
      gru, inputs, state, reset, params, reset_after=reset_after
    )

  @property
  def _state_spec(self) -> OpState:
    return OpState(gru, (self.d_model,))


Mixer = GRU
