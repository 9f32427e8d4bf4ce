"""HGRN: a gated average whose forget gate has a learned lower bound.

Source: Qin, Yang and Zhong 2023, arXiv:2311.04823, section 3, with the real recurrence
of the authors' later code instead of one with a learned phase.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_average import GatedAverage
from jaxmem.layers.primitives import dense, named, rms_norm, wide
from jaxmem.ops import gated_average


class HGRN(GatedAverage):
  """A gated linear recurrence of D cells; 4 D^2 + 3 D parameters, 4 D bytes a row.

      f = gamma + (1 - gamma) sigmoid(W_f x + b)
      h_t = f h_{t-1} + (1 - f) silu(W_c x),    y = W_o (norm(h) silu(W_g x))

  The paper ties the bounds gamma of all layers, so that they grow with depth; here
  every layer learns its own.

      from jaxmem.mixers.hgrn import HGRN
      mixer = HGRN(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    lower_bound: gamma at the start, in (0, 1): what a token keeps at least.
    others: see `GatedAverage`.
  """

  lower_bound: float = number(0.5, above=0, below=1)

  @nn.compact
  def __call__(
    self, x: Activations, state: gated_average.State, reset: Reset | None = None
  ) -> tuple[Activations, gated_average.State]:
    # the gate in float32: a decay of 0.999 is 1 in bfloat16
    u = self._linear(x, "forget", bias=True).astype(jnp.float32)  # [B, T, D]
    init = named(self._bound_init, ("heads",), decay=False)
    bound = wide(self.param("bound", init, (self.d_model,)))  # [D], logit of gamma
    # the logit of f: exact where f is all but 1, finite where it is all but 0
    log_gamma, log_rest = jax.nn.log_sigmoid(bound), jax.nn.log_sigmoid(-bound)
    g = jax.nn.log_sigmoid(jnp.logaddexp(log_gamma, u) - log_rest)  # [B, T, D]
    candidate = nn.silu(self._linear(x, "candidate")).astype(jnp.float32)
    h, state = self._average(candidate, g, state, reset)  # [B, T, D]
    y = rms_norm("norm", self.dtype, "heads")(h) * nn.silu(self._linear(x, "gate"))
    return dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y), state

  def _bound_init(self, key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    logit = jnp.log(self.lower_bound / (1 - self.lower_bound))
    return jnp.full(shape, logit, dtype)


OP = gated_average
Mixer = HGRN
