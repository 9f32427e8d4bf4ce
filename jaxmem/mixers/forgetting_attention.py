"""Full attention with a forget gate as a mixer.

Source: see `jaxmem.ops.forgetting_attention`; Lin et al. 2025, arXiv:2503.02130.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.attention_heads import Heads
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import dense
from jaxmem.ops import forgetting_attention
from jaxmem.ops.attention_core.masks import Causal, Mask


class ForgettingAttention(Heads):
  """Causal attention whose scores decay with what lies between; no positions.

  State: the document's keys, values and sums of log gates, M (2 H_kv K + 2 H) numbers a
  row. A document longer than M gets NaN from its token M on.

      from jaxmem.mixers.forgetting_attention import ForgettingAttention
      mixer = ForgettingAttention(d_model=64, num_heads=4, capacity=512)
      state = mixer.init_state(batch_size=2)

  Attributes:
    capacity: M, tokens of a document at most.
    others: see `Heads`; the paper's "pro" layer has `qk_norm` and `gate`.
  """

  capacity: int = 2048

  family: ClassVar[str] = "attention"

  @nn.compact
  def __call__(
    self, x: Activations, state: forgetting_attention.State, reset: Reset | None = None
  ) -> tuple[Activations, forgetting_attention.State]:
    # a sum over thousands of tokens: in float32
    gates = dense(self.num_heads, ("embed", "heads"), "forget", "float32", bias=True)
    g = nn.log_sigmoid(gates(x.astype(jnp.float32)))  # [B, T, A]
    self.sow("intermediates", "log_decay", g)
    y, state = self._attend(  # [B, T, A, K]
      forgetting_attention,
      (),
      (*self._qkv(x), g),
      state,
      reset,
    )
    return self._out(x, y), state

  @property
  def mask(self) -> Mask:
    """Who sees whom in a document."""
    return Causal()

  @property
  def _state_spec(self) -> OpState:
    sizes = self.capacity, self.num_heads, *self._kept
    return OpState(forgetting_attention, sizes, self.dtype)


Mixer = ForgettingAttention
