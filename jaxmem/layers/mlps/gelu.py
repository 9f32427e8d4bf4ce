"""The MLP of BERT and GPT-2. Source: Hendrycks and Gimpel 2016, arXiv:1606.08415."""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward


class GELU(FeedForward):
  """W_down gelu(W_up x + b) + c; 2 D F + D + F parameters.

      from jaxmem.layers.mlps.gelu import GELU
      y, state = GELU(d_model=64, d_ff=256).apply(params, x)

  Attributes:
    approximate: computes GELU by tanh, as GPT-2 does, instead of exactly, as BERT does.
    others: see `FeedForward`.
  """

  use_bias: bool = True
  approximate: bool = False

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    hidden = nn.gelu(self._up()(x), approximate=self.approximate)  # [B, T, F]
    return self._down()(hidden), ()


MLP = GELU
