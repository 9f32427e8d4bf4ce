"""Gated linear attention: every key channel forgets by a gate of its own.

Source: Yang et al. 2023, arXiv:2312.06635, eq. 3 and section 4.4.
"""

from typing import ClassVar

import jax
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense, rms_norm
from jaxmem.ops import gated_linear
from jaxmem.parallel import apply


class GLA(Memory):
  """A GLA layer; D H (2 K + 3 V) + (D + H K) R + H K + V parameters.

      S_t = diag(a_t) S_{t-1} + k_t v_t^T,    a_t = sigmoid(W2 W1 x_t + b)^{1/tau}

  State: 4 H K V bytes a row.

      from jaxmem.mixers.gla import GLA
      mixer = GLA(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's; 0 is half of D/H.
    value_dim: V, a head's; 0 is D/H.
    gate_rank: R, of the map to the decays.
    temperature: tau, larger remembers longer.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  gate_rank: int = 16
  temperature: float = number(16.0, above=0)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_linear.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_linear.State]:
    heads, key, value = self._dims
    axes = ("embed", "heads", None)
    project = lambda size, name: dense((heads, size), axes, name, self.dtype)(x)
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    low = dense(self.gate_rank, ("embed", None), "decay_in", "float32")(x)
    high = dense((heads, key), (None, "heads", None), "decay", "float32", bias=True)
    g = jax.nn.log_sigmoid(high(low)) / self.temperature
    self.sow("intermediates", "log_decay", g)
    y, state = apply.apply(
      self.op(gated_linear),
      self.form,
      (),
      (project(key, "q") * key**-0.5, project(key, "k"), project(value, "v"), g),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    gate = nn.silu(project(value, "gate"))
    y = rms_norm("norm", self.dtype, "head_dim")(y) * gate
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), state

  @nn.nowrap
  def _check(self) -> None:
    _ = self._dims  # raises ValueError where heads do not divide

  @property
  def _dims(self) -> tuple[int, int, int]:
    return self.num_heads, *key_and_value(self, key_share=2)

  def init_state(self, batch_size: int) -> gated_linear.State:
    return gated_linear.init_state(batch_size, *self._dims)

  def state_axes(self) -> gated_linear.State:
    return gated_linear.State(("batch", "heads", "key", "value"))


OP = gated_linear
Mixer = GLA
