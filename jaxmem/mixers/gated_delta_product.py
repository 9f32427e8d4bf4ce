"""Gated DeltaProduct: Gated DeltaNet with several writes a token.

Source: Siems et al. 2025, arXiv:2502.10297, section 3.
"""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.delta_rule import DeltaRule, State
from jaxmem.ops import gated_delta_product


class GatedDeltaProduct(DeltaRule):
  """A Gated DeltaProduct layer; N times the k, v and beta of Gated DeltaNet.

  D H ((N + 1) K + (N + 2) V + N + 1) + 4 H (K + N (K + V)) + 2 H + V parameters.

      from jaxmem.mixers.gated_delta_product import GatedDeltaProduct
      mixer = GatedDeltaProduct(d_model=64, num_heads=2, num_writes=3)
      state = mixer.init_state(batch_size=2)

  Attributes: those of `DeltaRule`, and
    chunk_size: writes of a chunk.
    num_writes: N, Householder steps a token.
    negative_eigenvalues: on, as in the paper: a product of reflections can rotate.
  """

  negative_eigenvalues: bool = True
  num_writes: int = 2

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    q, k, v, conv = self._qkv(x, state.conv, reset)  # k, v [B, T, N, H, .]
    inputs = (q, k, v, self._log_decay(x), self._write_strength(x))
    y, delta = self._recall(gated_delta_product, inputs, state.delta, reset)
    return self._out(y, nn.silu(self._gate(x))), State(conv, delta)

  @property
  def _writes(self) -> tuple[int, ...]:
    return (self.num_writes,)


Mixer = GatedDeltaProduct
