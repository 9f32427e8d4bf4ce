"""The leaky sum as a layer: projections around one op."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.layers.primitives import dense, named

from . import op


class MyLayer(Memory):
  """D leaky sums; 3 D^2 + D parameters, 4 D bytes of state a row.

      g = log sigmoid(W_g x + b)
      h_t = e^g h_{t-1} + W_x x,    y = W_o h

      mixer = MyLayer(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and sums.
    gate_bias: the initial b; a positive one remembers longer.
    form: "auto", "recurrent" or "parallel".
    dtype: of the matrix products and the output; the sums are float32.
  """

  d_model: int
  gate_bias: float = number(2.0)
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: op.State, reset: Reset | None = None
  ) -> tuple[Activations, op.State]:
    gate = dense(self.d_model, ("embed", "heads"), "gate", self.dtype)(x)  # [B, T, D]
    start = nn.initializers.constant(self.gate_bias)
    # weight decay would pull every rate towards one half
    bias = self.param("bias", named(start, ("heads",), decay=False), (self.d_model,))
    # float32, since a decay of 0.999 is 1 in bfloat16
    g = jax.nn.log_sigmoid(gate.astype(jnp.float32) + bias)
    self.sow("intermediates", "log_decay", g)  # for `jaxmem inspect`

    value = dense(self.d_model, ("embed", "heads"), "value", self.dtype)(x)
    inputs = (value.astype(jnp.float32), g)
    h, state = self._recall(op, inputs, state, reset)  # [B, T, D]
    out = dense(self.d_model, ("heads", "embed"), "out", self.dtype)
    return out(h), state

  @property
  def _state_spec(self) -> OpState:
    """Returns what is carried; `init_state` and `state_axes` are derived from it."""
    return OpState(op, (self.d_model,))
