"""Gated linear attention: every key channel forgets by a gate of its own.

Source: Yang et al. 2023, arXiv:2312.06635, eq. 3 and section 4.4.
"""

from typing import ClassVar

import jax
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import EPSILON, dense, rms_norm
from jaxmem.ops import gated_linear


class GLA(GatedLinear):
  """A GLA layer; D H (2 K + 3 V) + (D + H K) R + H K + V parameters.

      S_t = diag(a_t) S_{t-1} + k_t v_t^T,    a_t = sigmoid(W2 W1 x_t + b)^{1/tau}

  State: 4 H K V bytes a row.

      from jaxmem.mixers.gla import GLA
      mixer = GLA(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    key_dim: K, key features a head; 0 is half of D/H.
    gate_rank: R, the rank of the map to the decays.
    temperature: tau; a larger one remembers longer.
    norm_epsilon: under the root of the norm of a head.
    others: see `GatedLinear`.
  """

  gate_rank: int = 16
  temperature: float = number(16.0, above=0)
  norm_epsilon: float = number(EPSILON, above=0)

  key_share: ClassVar[int] = 2

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, _ = self._dims
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    low = dense(self.gate_rank, ("embed", None), "decay_in", "float32")(x)  # [B, T, R]
    high = dense((heads, key), (None, "heads", None), "decay", "float32", bias=True)
    g = jax.nn.log_sigmoid(high(low)) / self.temperature  # [B, T, H, K]
    self.sow("intermediates", "log_decay", g)
    q, k, v = self._qkv(x)  # [B, T, H, K], [B, T, H, K], [B, T, H, V]
    inputs = (q * key**-0.5, k, v, g)
    y, state = self._recall(gated_linear, inputs, state, reset)  # [B, T, H, V]
    norm = rms_norm("norm", self.dtype, "head_dim", self.norm_epsilon)
    return self._out(norm(y) * nn.silu(self._gate(x))), state

  @property
  def _state_spec(self) -> OpState:
    return OpState(gated_linear, self._dims)


OP = gated_linear
Mixer = GLA
