"""Kimi Delta Attention: the gated delta rule with one decay a channel.

Source: Kimi Team 2025, arXiv:2510.26692, section 4. It shares the op of Gated
DeltaNet.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.delta_rule import DeltaRule, State
from jaxmem.layers.primitives import dense, named, rate_init, step_init, wide
from jaxmem.ops import gated_delta


class KDA(DeltaRule):
  """A KDA layer; q, k, v and the output as in Gated DeltaNet, gates of low rank.

  D (2 H K + 2 H V + K + V + H) + H (K^2 + V^2 + 9 K + 4 V + 1) + V parameters.

      from jaxmem.mixers.kda import KDA
      mixer = KDA(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes: those of `DeltaRule`, and
    gate_bias: adds a bias to the gate of the output, before its sigmoid.
  """

  chunk_size: int = 32  # a decay a channel makes products of tokens dearer
  gate_bias: bool = False

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    q, k, v, conv = self._qkv(x, state.conv, reset)  # [B, T, H, K] and [B, T, H, V]
    inputs = (q, k, v, self._channel_log_decay(x), self._write_strength(x))
    y, delta = self._recall(gated_delta, inputs, state.delta, reset)  # [B, T, H, V]
    gate = self._low_rank(x, "gate", self._dims[2], self.dtype, self.gate_bias)
    return self._out(y, nn.sigmoid(gate)), State(conv, delta)

  def _channel_log_decay(self, x: Activations) -> Float[Array, "B T H K"]:
    """g of every key channel, in float32: a decay of 0.999 is 1 in bfloat16."""
    heads, key, _ = self._dims
    rate = self.param("rate", named(rate_init, ("heads",), decay=False), (heads,))
    dt = self.param(
      "step", named(step_init, ("heads", None), decay=False), (heads, key)
    )
    logits = self._low_rank(x, "decay", key, "float32")  # [B, T, H, K]
    g = -jnp.exp(wide(rate))[:, None] * jax.nn.softplus(logits + dt)
    self.sow("intermediates", "log_decay", g)
    return g

  def _low_rank(
    self, x: Activations, name: str, size: int, dtype: str, bias: bool = False
  ) -> Float[Array, "B T H _"]:
    """A linear map to `size` features of every head, through as many of all."""
    narrow = dense(size, ("embed", None), f"{name}_in", dtype)(x)  # [B, T, size]
    shape, axes = (self.num_heads, size), (None, "heads", None)
    return dense(shape, axes, name, dtype, bias=bias)(narrow)


OP = gated_delta
Mixer = KDA
