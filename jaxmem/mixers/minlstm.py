"""minLSTM: an LSTM whose gates see the input alone and sum to 1.

Source: Feng et al. 2024, arXiv:2410.01201, section 3.2 and appendix B (log space).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense, named
from jaxmem.ops import gated_average
from jaxmem.parallel import apply


class MinLSTM(Memory):
  """One minLSTM layer of D cells; 3 D^2 + 3 D parameters, 4 D bytes of state a row.

      f = sigmoid(W_f x),  i = sigmoid(W_i x),
      h_t = f/(f + i) h_{t-1} + i/(f + i) positive(W_h x)

      from jaxmem.mixers.minlstm import MinLSTM
      mixer = MinLSTM(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and cells.
    forget_bias: the forget gate's bias at the start; positive remembers longer.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gates and recurrence are float32.
  """

  d_model: int
  forget_bias: float = number(1.0)
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    def linear(name, start=0.0):
      y = dense(self.d_model, ("embed", "heads"), name, self.dtype)(x)
      constant = named(nn.initializers.constant(start), ("heads",), decay=False)
      bias = self.param(f"{name}_bias", constant, (self.d_model,))
      return y.astype(jnp.float32) + bias

    log_f = jax.nn.log_sigmoid(linear("forget", self.forget_bias))
    log_i = jax.nn.log_sigmoid(linear("write"))
    g = -jax.nn.softplus(log_i - log_f)  # log f/(f + i), exact at both ends
    self.sow("intermediates", "log_decay", g)
    inputs = (gated_average.positive(linear("candidate")), g)
    y, state = apply.apply(self.op(gated_average), self.form, (), inputs, state, reset)
    return y.astype(jnp.dtype(self.dtype)), state

  def init_state(self, batch_size: int) -> gated_average.State:
    return gated_average.init_state(batch_size, self.d_model)

  def state_axes(self) -> gated_average.State:
    return gated_average.State(("batch", "heads"))


OP = gated_average
Mixer = MinLSTM
