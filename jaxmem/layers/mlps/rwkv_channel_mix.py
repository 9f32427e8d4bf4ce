"""RWKV-7's channel mix. Source: Peng et al. 2025, arXiv:2503.14456, section 4.2."""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import named, token_shift
from jaxmem.ops import short_conv
from jaxmem.ops.recurrence import scan


def _share(key, shape, dtype=jnp.float32):
  """Falls from 1 to 0 along the features, as in the released first layer."""
  del key
  return jnp.linspace(1, 0, shape[0], dtype=dtype)


class ChannelMix(FeedForward):
  """W_down relu(W_up (x_t + mu (x_{t-1} - x_t)))^2; 2 D F + D parameters.

  State: D features of the last token, of `dtype`. The token before the first of a
  document counts as 0.

      from jaxmem.layers.mlps.rwkv_channel_mix import ChannelMix
      mlp = ChannelMix(d_model=64, d_ff=256)
      y, state = mlp.apply(params, x, mlp.init_state(batch_size=2))

  Attributes: those of `FeedForward`.
  """

  @nn.compact
  def __call__(
    self, x: Activations, state: short_conv.State, reset: Reset | None = None
  ) -> tuple[Activations, short_conv.State]:
    x = x.astype(self.dtype)
    before, state = token_shift(x, state, reset)  # [B, T, D]
    # no weight decay: mu is a share of two tokens, and 0 is not its neutral value
    mu = self.param("shift", named(_share, ("embed",), decay=False), (self.d_model,))
    mixed = x + (before - x) * scan.per_channel(mu, x)  # [B, T, D]
    hidden = nn.relu(self._up()(mixed))  # [B, T, F]
    return self._down()(hidden * hidden), state

  @property
  def _state_spec(self) -> OpState:
    return OpState(short_conv, (2, self.d_model), self.dtype)


MLP = ChannelMix
