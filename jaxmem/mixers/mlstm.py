"""mLSTM: exponential input gates, sigmoid forget gates, a norm and an output gate.

Source: Beck et al. 2024, arXiv:2405.04517, section 2.3 (the cell); Beck et al. 2025,
arXiv:2503.13427, section 3.2 (the layer of xLSTM 7B: no convolution, capped gates).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense, head_norm, named
from jaxmem.ops import mlstm
from jaxmem.parallel import apply

INPUT_BIAS = -10.0  # so that little is written at first


def _forget_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """From 3 to 6 over the heads: a memory of 20 to 400 tokens at first."""
  return jnp.asarray(np.linspace(3.0, 6.0, shape[0]), dtype)


class MLSTM(Memory):
  """An mLSTM layer; D H (2 K + 3 V) + 2 D H + H (V + 2) parameters.

  State: 4 H (K V + K + 1) bytes a row.

      from jaxmem.mixers.mlstm import MLSTM
      mixer = MLSTM(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's; 0 is half of D/H.
    value_dim: V, a head's; 0 is D/H.
    gate_cap: the gates are capped to c tanh(gate / c).
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  gate_cap: float = number(15.0, above=0)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: mlstm.State, reset: Reset | None = None
  ) -> tuple[Activations, mlstm.State]:
    heads, key, value = self._dims
    axes = ("embed", "heads", None)
    project = lambda size, name: dense((heads, size), axes, name, self.dtype)(x)
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    i = self._gate(x, "input", nn.initializers.constant(INPUT_BIAS))
    f = jax.nn.log_sigmoid(self._gate(x, "forget", _forget_init))
    self.sow("intermediates", "log_input", i)
    self.sow("intermediates", "log_decay", f)
    y, state = apply.apply(
      self.op(mlstm),
      self.form,
      (),
      (project(key, "q") * key**-0.5, project(key, "k"), project(value, "v"), i, f),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    gate = nn.sigmoid(project(value, "gate"))
    y = head_norm("norm", self.dtype, 1e-6, bias=False)(y) * gate
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), state

  def _gate(self, x: Activations, name: str, init: nn.initializers.Initializer):
    z = dense(self.num_heads, ("embed", "heads"), name, "float32")(x)
    z = z + self.param(
      f"{name}_bias", named(init, ("heads",), decay=False), (self.num_heads,)
    )
    return self.gate_cap * jnp.tanh(z / self.gate_cap)

  @nn.nowrap
  def _check(self) -> None:
    _ = self._dims  # raises ValueError where heads do not divide

  @property
  def _dims(self) -> tuple[int, int, int]:
    return self.num_heads, *key_and_value(self, key_share=2)

  def init_state(self, batch_size: int) -> mlstm.State:
    return mlstm.init_state(batch_size, *self._dims)

  def state_axes(self) -> mlstm.State:
    rows = ("batch", "heads")
    return mlstm.State((*rows, "key", "value"), (*rows, "key"), rows)


Mixer = MLSTM
