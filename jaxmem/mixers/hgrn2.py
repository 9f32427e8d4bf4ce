"""HGRN2: what a channel forgets is what it writes, k = 1 - f.

Source: Qin et al. 2024, arXiv:2404.07904, section 3.2 (outer-product state expansion).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import EPSILON, dense, rms_norm
from jaxmem.ops import gated_linear


class HGRN2(GatedLinear):
  """An HGRN2 layer; 2 D H (K + V) + H V parameters.

      S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t^T,    f_t = b + (1 - b) sigmoid(W x_t)

  The paper learns the bound b together for all layers, rising with depth; here it is
  given. State: 4 H K V bytes a row.

      from jaxmem.mixers.hgrn2 import HGRN2
      mixer = HGRN2(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    lower_bound: b in [0, 1), the least that a channel keeps; higher in deeper layers.
    norm_epsilon: under the root of the norm.
    others: see `GatedLinear`.
  """

  lower_bound: float = number(0.0, at_least=0, below=1)
  norm_epsilon: float = number(EPSILON, above=0)

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    (heads, key, value), bound = self._dims, self.lower_bound
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    z = self._project(x, "forget", key, "float32")  # [B, T, H, K]
    g = jax.nn.log_sigmoid(z)
    if bound:  # log(b + (1 - b) f), in logs: f may underflow
      g = jnp.logaddexp(jnp.log(bound), jnp.log1p(-bound) + g)
    k = (1 - bound) * nn.sigmoid(-z)  # 1 - f without a difference, exact at f = 1
    self.sow("intermediates", "log_decay", g)
    q = nn.silu(self._project(x, "q", key)) * key**-0.5  # [B, T, H, K]
    inputs = (q, k.astype(self.dtype), self._project(x, "v", value), g)
    y, state = self._recall(gated_linear, inputs, state, reset)  # [B, T, H, V]
    # one norm over all heads, unlike GLA's norm a head
    norm = rms_norm("norm", self.dtype, "heads", self.norm_epsilon)
    y = norm(y.reshape(*x.shape[:2], heads * value))  # [B, T, H V]
    return dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y), state

  @property
  def _state_spec(self) -> OpState:
    return OpState(gated_linear, self._dims)


OP = gated_linear
Mixer = HGRN2
