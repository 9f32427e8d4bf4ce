"""The MLP of the first Transformer. Source: Vaswani et al. 2017, arXiv:1706.03762."""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward


class ReLU(FeedForward):
  """W_down relu(W_up x + b) + c; 2 D F + D + F parameters.

      from jaxmem.layers.mlps.relu import ReLU
      y, state = ReLU(d_model=64, d_ff=256).apply(params, x)

  Attributes: those of `FeedForward`.
  """

  use_bias: bool = True

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    hidden = nn.relu(self._up()(x))  # [B, T, F]
    return self._down()(hidden), ()


MLP = ReLU
