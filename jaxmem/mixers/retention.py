"""Retention: a fixed decay a head, and keys that turn with their distance.

Source: Sun et al. 2023, arXiv:2307.08621, eq. 6 to 8.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense, head_norm
from jaxmem.ops import gated_linear
from jaxmem.ops.attention_core import rotary
from jaxmem.ops.recurrence import scan
from jaxmem.parallel import apply


class Retention(Memory):
  """A multi-scale retention layer; D H (2 K + 3 V) parameters.

      S_t = gamma S_{t-1} + (R^t k_t) v_t^T,    y_t = S_t^T R^t q_t

  with gamma = 1 - 2^{-5-h} in head h. Only distances matter, so the state holds keys
  turned by their distance to the last token: it needs no position, and stays exact
  after any number of calls. State: 4 H K V bytes a row.

      from jaxmem.mixers.retention import Retention
      mixer = Retention(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's, even; 0 is D/H.
    value_dim: V, a head's; 0 is 2 D/H.
    rotary_base: base of the rotary angles.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  rotary_base: float = number(10_000.0, above=0)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, value = self._dims
    (rows, length), axes = x.shape[:2], ("embed", "heads", None)
    project = lambda size, name: dense((heads, size), axes, name, self.dtype)(x)
    turn = self._angles(1 + scan.indices(length)[:, None])
    q = rotary.rotate(project(key, "q"), turn) * key**-0.5
    k = rotary.rotate(project(key, "k"), turn)
    gamma = np.log1p(-(2.0 ** (-5 - np.arange(heads))))
    g = jnp.broadcast_to(jnp.asarray(gamma, jnp.float32), (rows, length, heads))
    self.sow("intermediates", "log_decay", g)
    y, state = apply.apply(
      self.op(gated_linear),
      self.form,
      (),
      (q, k, project(value, "v"), g),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    gate = nn.silu(project(value, "gate"))
    y = head_norm("norm", self.dtype, scale=False, bias=False)(y) * gate
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), gated_linear.State(self._turned_back(state.s, length))

  def _angles(self, distance: Array) -> rotary.Angles:
    return rotary.angles(
      distance, self._dims[1], rotary.Rotary(self.rotary_base), jnp.dtype(jnp.float32)
    )

  def _turned_back(self, s: Float[Array, "B H K V"], length: int) -> Array:
    """Keys turned by their distance to the call's last token, not to its first."""
    by = rotary.back(self._angles(jnp.asarray(length, jnp.int32)))
    return rotary.rotate(s.swapaxes(-1, -2), by).swapaxes(-1, -2)

  @nn.nowrap
  def _check(self) -> None:
    _ = self._dims  # raises ValueError where heads do not divide

  @property
  def _dims(self) -> tuple[int, int, int]:
    key, value = key_and_value(self, value_times=2)
    if key % 2:
      raise ValueError(f"key_dim {key} is odd: rotary positions need pairs")
    return self.num_heads, key, value

  def init_state(self, batch_size: int) -> gated_linear.State:
    return gated_linear.init_state(batch_size, *self._dims)

  def state_axes(self) -> gated_linear.State:
    return gated_linear.State(("batch", "heads", "key", "value"))


OP = gated_linear
Mixer = Retention
