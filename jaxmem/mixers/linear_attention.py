"""Linear attention: sums of keys times values, read through a feature map.

Source: Katharopoulos et al. 2020, arXiv:2006.16236, eq. 9 and 16 to 20; Arora et al.
2024, arXiv:2402.18668 (Based's map, "taylor").
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.registry import nearest
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense
from jaxmem.ops import gated_linear
from jaxmem.ops.recurrence import features
from jaxmem.parallel import apply

EPSILON = 1e-6  # of the denominator


class LinearAttention(Memory):
  """A linear attention layer; D H (2 K + 2 V) parameters.

      y_t = phi(q_t)^T S_t / phi(q_t)^T z_t,
      S_t = S_{t-1} + phi(k_t) v_t^T,    z_t = z_{t-1} + phi(k_t)

  The denominator is one more column of S, read off a value that is always 1. State: 4 H
  F (V + 1) bytes a row for F features.

      from jaxmem.mixers.linear_attention import LinearAttention
      mixer = LinearAttention(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's; 0 is D/H.
    value_dim: V, a head's; 0 is D/H.
    feature_map: "elu", "relu", "taylor" or "identity".
    normalize: divides by the sum of the weights; "identity" has none to divide by.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  feature_map: str = "elu"
  normalize: bool = True
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, value = self._dims
    project = lambda size, name: dense(
      (heads, size), ("embed", "heads", None), name, self.dtype
    )(x)
    phi = features.FEATURES[self.feature_map]
    q, k, v = phi(project(key, "q")), phi(project(key, "k")), project(value, "v")
    if self.normalize:
      v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
    else:
      q = q * key**-0.5
    y, state = apply.apply(
      self.op(gated_linear),
      self.form,
      (),
      (q, k, v, jnp.zeros((*x.shape[:2], heads), jnp.float32)),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    if self.normalize:
      y = y[..., :-1] / (y[..., -1:] + EPSILON)
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), state

  @nn.nowrap
  def _check(self) -> None:
    key_and_value(self)  # raises ValueError where heads do not divide

  @property
  def _dims(self) -> tuple[int, int, int]:
    if self.feature_map not in features.FEATURES:
      known = list(features.FEATURES)
      raise ValueError(
        f"no feature map {self.feature_map!r}: {nearest(self.feature_map, known)}"
      )
    if self.normalize and self.feature_map == "identity":
      raise ValueError(
        "feature_map 'identity' has weights of any sign: normalize=False"
      )
    return self.num_heads, *key_and_value(self)

  def init_state(self, batch_size: int) -> gated_linear.State:
    heads, key, value = self._dims
    rows = features.count(self.feature_map, key)
    return gated_linear.init_state(batch_size, heads, rows, value + self.normalize)

  def state_axes(self) -> gated_linear.State:
    return gated_linear.State(("batch", "heads", "key", "value"))


OP = gated_linear
Mixer = LinearAttention
