"""The MLP with a squared ReLU. Source: So et al. 2021, arXiv:2109.08668 (Primer)."""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward


class ReLU2(FeedForward):
  """W_down relu(W_up x)^2; 2 D F parameters.

      from jaxmem.layers.mlps.relu2 import ReLU2
      y, state = ReLU2(d_model=64, d_ff=256).apply(params, x)

  Attributes: those of `FeedForward`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    hidden = nn.relu(self._up()(x))  # [B, T, F]
    return self._down()(hidden * hidden), ()


MLP = ReLU2
