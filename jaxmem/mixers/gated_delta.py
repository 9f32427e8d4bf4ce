"""Gated DeltaNet: short convolutions, the gated delta rule, a gated norm.

Source: Yang, Kautz and Hatamizadeh 2024, arXiv:2412.06464, figure 1 and section 3.
"""

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.delta_rule import DeltaRule, State
from jaxmem.ops import gated_delta


class GatedDelta(DeltaRule):
  """A Gated DeltaNet layer; D (2 H K + 3 H V + 2 H) + H (8 K + 4 V + 2) + V parameters.

      from jaxmem.mixers.gated_delta import GatedDelta
      mixer = GatedDelta(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes: those of `DeltaRule`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    q, k, v, conv = self._qkv(x, state.conv, reset)  # [B, T, H, K] and [B, T, H, V]
    inputs = (q, k, v, self._log_decay(x), self._write_strength(x))
    y, delta = self._recall(gated_delta, inputs, state.delta, reset)  # [B, T, H, V]
    return self._out(y, nn.silu(self._gate(x))), State(conv, delta)


Mixer = GatedDelta
