"""RWKV's channel mix.

Source: Peng et al. 2025, arXiv:2503.14456, section 4.2 (RWKV-7); 2024,
arXiv:2404.05892, section 4.3 (the receptance of RWKV-6 and before).
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.feed_forward import FeedForward
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import dense, named, token_shift
from jaxmem.ops import short_conv
from jaxmem.ops.recurrence import scan


def _share(key, shape, dtype=jnp.float32):
  """Falls from 1 to 0 along the features, as in the released first layer."""
  del key
  return jnp.linspace(1, 0, shape[0], dtype=dtype)


class ChannelMix(FeedForward):
  """W_down relu(W_up (x_t + mu (x_{t-1} - x_t)))^2; 2 D F + D parameters.

  State: D features of the last token, of `dtype`. The token before the first of a
  document counts as 0. With a receptance the output is multiplied by sigmoid(W_r (x_t +
  mu_r (x_{t-1} - x_t))), of D^2 + D parameters more.

      from jaxmem.layers.mlps.rwkv_channel_mix import ChannelMix
      mlp = ChannelMix(d_model=64, d_ff=256)
      y, state = mlp.apply(params, x, mlp.init_state(batch_size=2))

  Attributes: those of `FeedForward`, and
    receptance: gates the output (RWKV-6).
  """

  receptance: bool = False

  @nn.compact
  def __call__(
    self, x: Activations, state: short_conv.State, reset: Reset | None = None
  ) -> tuple[Activations, short_conv.State]:
    x = x.astype(self.dtype)
    before, state = token_shift(x, state, reset)  # [B, T, D]
    hidden = nn.relu(self._up()(self._mixed("shift", x, before)))  # [B, T, F]
    y = self._down()(hidden * hidden)
    if self.receptance:
      linear = dense(self.d_model, ("embed", None), "receptance", self.dtype)
      y = y * nn.sigmoid(linear(self._mixed("receptance_shift", x, before)))
    return y, state

  def _mixed(self, name: str, x: Activations, before: Activations) -> Activations:
    """A mixture of each token with the one before, a share a channel."""
    # no weight decay: mu is a share of two tokens, and 0 is not its neutral value
    mu = self.param(name, named(_share, ("embed",), decay=False), (self.d_model,))
    return x + (before - x) * scan.per_channel(mu, x)  # [B, T, D]

  @property
  def _state_spec(self) -> OpState:
    return OpState(short_conv, (2, self.d_model), self.dtype)


MLP = ChannelMix
