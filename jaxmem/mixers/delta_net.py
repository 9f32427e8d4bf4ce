"""DeltaNet: short convolutions, the delta rule without decay, a norm.

Source: Yang et al. 2024, arXiv:2406.06484, section 3.3 and figure 2; the rule from
Schlag, Irie and Schmidhuber 2021, arXiv:2102.11174. It is the gated delta rule at g = 0
and shares that op.
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.delta_rule import DeltaRule, State
from jaxmem.ops import gated_delta


class DeltaNet(DeltaRule):
  """A DeltaNet layer; D (2 H K + 2 H V + H) + H (8 K + 4 V) + V parameters.

      from jaxmem.mixers.delta_net import DeltaNet
      mixer = DeltaNet(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes: those of `DeltaRule`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    q, k, v, conv = self._qkv(x, state.conv, reset)  # [B, T, H, K] and [B, T, H, V]
    beta = self._write_strength(x)
    inputs = (q, k, v, jnp.zeros_like(beta), beta)
    y, delta = self._recall(gated_delta, inputs, state.delta, reset)  # [B, T, H, V]
    return self._out(y), State(conv, delta)


OP = gated_delta
Mixer = DeltaNet
