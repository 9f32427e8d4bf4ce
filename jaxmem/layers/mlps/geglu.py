"""GeGLU: a GELU gates the hidden layer. Source: Shazeer 2020, arXiv:2002.05202."""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward


class GeGLU(FeedForward):
  """W_down (gelu(W_gate x) * W_up x); 3 D F parameters.

      from jaxmem.layers.mlps.geglu import GeGLU
      y, state = GeGLU(d_model=64, d_ff=128).apply(params, x)

  Attributes:
    approximate: computes GELU by tanh, as Gemma does, instead of exactly.
    others: see `FeedForward`.
  """

  approximate: bool = True

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    gate = nn.gelu(self._up("gate")(x), approximate=self.approximate)  # [B, T, F]
    return self._down()(gate * self._up()(x)), ()


MLP = GeGLU
