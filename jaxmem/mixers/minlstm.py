"""minLSTM: an LSTM whose gates see the input alone and sum to 1.

Source: Feng et al. 2024, arXiv:2410.01201, section 3.2 and appendix B (log space).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_average import GatedAverage
from jaxmem.layers.primitives import named
from jaxmem.ops import gated_average


class MinLSTM(GatedAverage):
  """One minLSTM layer of D cells; 3 D^2 + 3 D parameters, 4 D bytes of state a row.

      f = sigmoid(W_f x),  i = sigmoid(W_i x),
      h_t = f/(f + i) h_{t-1} + i/(f + i) positive(W_h x)

      from jaxmem.mixers.minlstm import MinLSTM
      mixer = MinLSTM(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    forget_bias: the forget gate's bias at the start; positive remembers longer.
    others: see `GatedAverage`.
  """

  forget_bias: float = number(1.0)

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    log_f = jax.nn.log_sigmoid(self._logit(x, "forget", self.forget_bias))
    log_i = jax.nn.log_sigmoid(self._logit(x, "write"))  # [B, T, D]
    g = -jax.nn.softplus(log_i - log_f)  # log f/(f + i), exact at both ends
    h = gated_average.positive(self._logit(x, "candidate"))  # [B, T, D]
    y, state = self._average(h, g, state, reset)
    return y.astype(jnp.dtype(self.dtype)), state

  def _logit(
    self, x: Activations, name: str, bias: float = 0.0
  ) -> Float[Array, "B T D"]:
    """A linear map, in float32: a decay of 0.999 is 1 in bfloat16."""
    y = self._linear(x, name).astype(jnp.float32)
    init = named(nn.initializers.constant(bias), ("heads",), decay=False)
    return y + self.param(f"{name}_bias", init, (self.d_model,))


OP = gated_average
Mixer = MinLSTM
