"""minGRU: a GRU whose gate sees the input alone.

Source: Feng et al. 2024, arXiv:2410.01201, section 3.1 and appendix B (log space).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense
from jaxmem.ops import gated_average
from jaxmem.parallel import apply


class MinGRU(Memory):
  """One minGRU layer of D cells; 2 D^2 + 2 D parameters, 4 D bytes of state a row.

      z = sigmoid(W_z x),    h_t = (1 - z) h_{t-1} + z positive(W_h x)

      from jaxmem.mixers.mingru import MinGRU
      mixer = MinGRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and cells.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gate and recurrence are float32.
  """

  d_model: int
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    def linear(name):
      y = dense(self.d_model, ("embed", "heads"), name, self.dtype, bias=True)(x)
      return y.astype(jnp.float32)

    g = jax.nn.log_sigmoid(-linear("gate"))
    self.sow("intermediates", "log_decay", g)
    inputs = (gated_average.positive(linear("candidate")), g)
    y, state = apply.apply(self.op(gated_average), self.form, (), inputs, state, reset)
    return y.astype(jnp.dtype(self.dtype)), state

  def init_state(self, batch_size: int) -> gated_average.State:
    return gated_average.init_state(batch_size, self.d_model)

  def state_axes(self) -> gated_average.State:
    return gated_average.State(("batch", "heads"))


OP = gated_average
Mixer = MinGRU
