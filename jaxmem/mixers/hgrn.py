"""HGRN: a gated average whose forget gate has a learned lower bound.

Source: Qin, Yang and Zhong 2023, arXiv:2311.04823, section 3, with the real recurrence
of the authors' later code instead of one with a learned phase.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense, named, rms_norm, wide
from jaxmem.ops import gated_average
from jaxmem.parallel import apply


class HGRN(Memory):
  """A gated linear recurrence of D cells; 4 D^2 + 3 D parameters, 4 D bytes a row.

      f = gamma + (1 - gamma) sigmoid(W_f x + b)
      h_t = f h_{t-1} + (1 - f) silu(W_c x),    y = W_o (norm(h) silu(W_g x))

  The paper ties the bounds gamma of all layers, so that they grow with depth; here
  every layer learns its own.

      from jaxmem.mixers.hgrn import HGRN
      mixer = HGRN(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and cells.
    lower_bound: gamma at the start, in (0, 1): what a token keeps at least.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gate and recurrence are float32.
  """

  d_model: int
  lower_bound: float = 0.5
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    linear = lambda name, **kw: dense(
      self.d_model, ("embed", "heads"), name, self.dtype, **kw
    )(x)
    u = linear("forget", bias=True).astype(jnp.float32)
    bound = self.param(
      "bound", named(self._bound_init, ("heads",), decay=False), (self.d_model,)
    )
    # the logit of f: exact where f is all but 1, finite where it is all but 0
    bound = wide(bound)
    log_gamma, log_rest = jax.nn.log_sigmoid(bound), jax.nn.log_sigmoid(-bound)
    g = jax.nn.log_sigmoid(jnp.logaddexp(log_gamma, u) - log_rest)
    self.sow("intermediates", "log_decay", g)
    candidate = nn.silu(linear("candidate")).astype(jnp.float32)
    inputs = (candidate, g)
    h, state = apply.apply(self.op(gated_average), self.form, (), inputs, state, reset)
    y = rms_norm("norm", self.dtype, "heads")(h) * nn.silu(linear("gate"))
    return dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y), state

  def _bound_init(self, key, shape, dtype=jnp.float32):
    if not 0 < self.lower_bound < 1:
      raise ValueError(f"lower_bound is {self.lower_bound}: it must be in (0, 1)")
    return jnp.full(shape, jnp.log(self.lower_bound / (1 - self.lower_bound)), dtype)

  def init_state(self, batch_size: int) -> gated_average.State:
    return gated_average.init_state(batch_size, self.d_model)

  def state_axes(self) -> gated_average.State:
    return gated_average.State(("batch", "heads"))


OP = gated_average
Mixer = HGRN
