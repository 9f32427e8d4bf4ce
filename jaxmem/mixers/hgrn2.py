"""HGRN2: what a channel forgets is what it writes, k = 1 - f.

Source: Qin et al. 2024, arXiv:2404.07904, section 3.2 (outer-product state expansion).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense, rms_norm
from jaxmem.ops import gated_linear
from jaxmem.parallel import apply


class HGRN2(Memory):
  """An HGRN2 layer; 2 D H (K + V) + H V parameters.

      S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t^T,    f_t = b + (1 - b) sigmoid(W x_t)

  The paper learns the bound b together for all layers, rising with depth; here it is
  given. State: 4 H K V bytes a row.

      from jaxmem.mixers.hgrn2 import HGRN2
      mixer = HGRN2(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's; 0 is D/H.
    value_dim: V, a head's; 0 is D/H.
    lower_bound: b in [0, 1), the least that a channel keeps; higher in deeper layers.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  lower_bound: float = number(0.0, at_least=0, below=1)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, value = self._dims
    project = lambda size, name, dtype=self.dtype: dense(
      (heads, size), ("embed", "heads", None), name, dtype
    )(x)
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    z, bound = project(key, "forget", "float32"), self.lower_bound
    g = jax.nn.log_sigmoid(z)
    if bound:
      g = jnp.logaddexp(jnp.log(bound), jnp.log1p(-bound) + g)
    k = (1 - bound) * nn.sigmoid(-z)
    self.sow("intermediates", "log_decay", g)
    q = nn.silu(project(key, "q")) * key**-0.5
    y, state = apply.apply(
      self.op(gated_linear),
      self.form,
      (),
      (q, k.astype(self.dtype), project(value, "v"), g),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    y = rms_norm("norm", self.dtype, "heads")(y.reshape(*x.shape[:2], heads * value))
    return dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y), state

  @nn.nowrap
  def _check(self) -> None:
    _ = self._dims  # raises ValueError where heads do not divide

  @property
  def _dims(self) -> tuple[int, int, int]:
    return self.num_heads, *key_and_value(self)

  def init_state(self, batch_size: int) -> gated_linear.State:
    return gated_linear.init_state(batch_size, *self._dims)

  def state_axes(self) -> gated_linear.State:
    return gated_linear.State(("batch", "heads", "key", "value"))


OP = gated_linear
Mixer = HGRN2
