"""Retention: a fixed decay a head, and keys that turn with their distance.

Source: Sun et al. 2023, arXiv:2307.08621, eq. 6 to 8.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number, word
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import head_norm, rms_norm
from jaxmem.ops import gated_linear
from jaxmem.ops.attention_core import rotary
from jaxmem.ops.recurrence import scan


class Retention(GatedLinear):
  """A multi-scale retention layer; D H (2 K + 3 V) parameters.

      S_t = gamma S_{t-1} + (R^t k_t) v_t^T,    y_t = S_t^T R^t q_t

  with gamma = 1 - 2^{-5-h} in head h. Only distances matter, so the state holds keys
  rotated by their distance to the last token: it needs no position, and stays exact
  after any number of calls. State: 4 H K V bytes a row.

      from jaxmem.mixers.retention import Retention
      mixer = Retention(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    key_dim: K, a head's, even; 0 is D/H.
    value_dim: V, a head's; 0 is 2 D/H.
    rotary_base: base of the rotary angles.
    norm: of a head, "layer" without parameters, as in the paper, or "rms" with a scale
      for each of V channels.
    norm_epsilon: under the root of the norm.
    others: see `GatedLinear`.
  """

  rotary_base: float = number(10_000.0, above=0)
  norm: str = word("layer", ("layer", "rms"))
  norm_epsilon: float = number(1e-5, above=0)

  value_times: ClassVar[int] = 2

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    (heads, key, _), (rows, length) = self._dims, x.shape[:2]
    angles = self._angles(1 + scan.indices(length)[:, None])  # of the call's tokens
    q, k, v = self._qkv(x)  # [B, T, H, K], [B, T, H, K], [B, T, H, V]
    q, k = rotary.rotate(q, angles) * key**-0.5, rotary.rotate(k, angles)
    gamma = np.log1p(-(2.0 ** (-5 - np.arange(heads))))  # [H], log of the decay
    g = jnp.broadcast_to(jnp.asarray(gamma, jnp.float32), (rows, length, heads))
    self.sow("intermediates", "log_decay", g)
    y, state = self._recall(gated_linear, (q, k, v, g), state, reset)  # [B, T, H, V]
    y = self._norm(y) * nn.silu(self._gate(x))
    return self._out(y), gated_linear.State(self._rotated_back(state.s, length))

  def _norm(self, y: Float[Array, "B T H V"]) -> Float[Array, "B T H V"]:
    """Returns the heads normalised."""
    if self.norm == "rms":
      return rms_norm("norm", self.dtype, "head_dim", self.norm_epsilon)(y)
    norm = head_norm("norm", self.dtype, self.norm_epsilon, scale=False, bias=False)
    return norm(y)

  def _angles(self, distance: Array) -> rotary.Angles:
    return rotary.angles(
      distance, self._dims[1], rotary.Rotary(self.rotary_base), jnp.dtype(jnp.float32)
    )

  def _rotated_back(
    self, s: Float[Array, "B H K V"], length: int
  ) -> Float[Array, "B H K V"]:
    """Keys rotated by their distance to the call's last token, not to its first."""
    back = rotary.back(self._angles(jnp.asarray(length, jnp.int32)))
    # `rotate` acts on the last axis, which is K for the time being
    return rotary.rotate(s.swapaxes(-1, -2), back).swapaxes(-1, -2)

  @nn.nowrap
  def _check(self) -> None:
    key = self._dims[1]
    if key % 2:
      raise ValueError(f"key_dim {key} is odd: rotary positions need pairs")

  @property
  def _state_spec(self) -> OpState:
    return OpState(gated_linear, self._dims)


OP = gated_linear
Mixer = Retention
