"""minGRU: a GRU whose gate sees the input alone.

Source: Feng et al. 2024, arXiv:2410.01201, section 3.1 and appendix B (log space).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_average import GatedAverage
from jaxmem.ops import gated_average


class MinGRU(GatedAverage):
  """One minGRU layer of D cells; 2 D^2 + 2 D parameters, 4 D bytes of state a row.

      z = sigmoid(W_z x),    h_t = (1 - z) h_{t-1} + z positive(W_h x)

      from jaxmem.mixers.mingru import MinGRU
      mixer = MinGRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes: those of `GatedAverage`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    z = self._linear(x, "gate", bias=True).astype(jnp.float32)  # [B, T, D]
    g = jax.nn.log_sigmoid(-z)  # log (1 - z), exact at both ends
    h = self._linear(x, "candidate", bias=True).astype(jnp.float32)  # [B, T, D]
    y, state = self._average(gated_average.positive(h), g, state, reset)
    return y.astype(jnp.dtype(self.dtype)), state


OP = gated_average
Mixer = MinGRU
