"""SwiGLU: a SiLU gates the hidden layer. Source: Shazeer 2020, arXiv:2002.05202."""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward


class SwiGLU(FeedForward):
  """W_down (silu(W_gate x) * W_up x); 3 D F parameters.

      from jaxmem.layers.mlps.swiglu import SwiGLU
      y, state = SwiGLU(d_model=64, d_ff=128).apply(params, x)

  Attributes: those of `FeedForward`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    gate = self._up("gate")(x)  # [B, T, F]
    up = self._up()(x)  # [B, T, F]
    return self._down()(nn.silu(gate) * up), ()


MLP = SwiGLU
