"""Linear attention: sums of keys times values, read through a feature map.

Source: Katharopoulos et al. 2020, arXiv:2006.16236, eq. 9 and 16 to 20; Arora et al.
2024, arXiv:2402.18668 (Based's map, "taylor").
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.ranges import word
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import OpState
from jaxmem.ops import gated_linear
from jaxmem.ops.recurrence import features

EPSILON = 1e-6  # of the denominator


class LinearAttention(GatedLinear):
  """A linear attention layer; D H (2 K + 2 V) parameters.

      y_t = phi(q_t)^T S_t / phi(q_t)^T z_t,
      S_t = S_{t-1} + phi(k_t) v_t^T,    z_t = z_{t-1} + phi(k_t)

  The denominator is one more column of S, read off a value that is always 1. State: 4 H
  F (V + 1) bytes a row for F features.

      from jaxmem.mixers.linear_attention import LinearAttention
      mixer = LinearAttention(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    feature_map: "elu", "relu", "taylor" or "identity".
    normalize: divides by the sum of the weights; "identity" has none to divide by.
    others: see `GatedLinear`.
  """

  feature_map: str = word("elu", tuple(features.FEATURES))
  normalize: bool = True

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, _ = self._dims
    phi = features.FEATURES[self.feature_map]
    q, k, v = self._qkv(x)  # [B, T, H, K], [B, T, H, K], [B, T, H, V]
    q, k = phi(q), phi(k)  # [B, T, H, F]
    if self.normalize:
      v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)  # [B, T, H, V + 1]
    else:
      q = q * key**-0.5
    g = jnp.zeros((*x.shape[:2], heads), jnp.float32)  # nothing is forgotten
    y, state = self._recall(gated_linear, (q, k, v, g), state, reset)
    if self.normalize:
      y = y[..., :-1] / (y[..., -1:] + EPSILON)  # [B, T, H, V]
    return self._out(y), state

  @nn.nowrap
  def _check(self) -> None:
    if self.normalize and self.feature_map == "identity":
      raise ValueError(
        "feature_map 'identity' has weights of any sign: normalize=False"
      )

  @property
  def _state_spec(self) -> OpState:
    heads, key, value = self._dims
    rows = features.count(self.feature_map, key)
    return OpState(gated_linear, (heads, rows, value + self.normalize))


OP = gated_linear
Mixer = LinearAttention
