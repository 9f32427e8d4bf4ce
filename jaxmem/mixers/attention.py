"""Full causal attention as a mixer. Source: see `jaxmem.ops.attention`."""

from typing import ClassVar

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.attention_heads import Attending
from jaxmem.layers.mixer import OpState
from jaxmem.ops import attention
from jaxmem.ops.attention_core.masks import Causal, Mask


class Attention(Attending):
  """Causal attention to the whole document; 2 D K (H + H_kv) parameters.

  State: the document's keys and values, 2 M H_kv K numbers of `dtype` a row. A document
  longer than M gets NaN from its token M on.

      from jaxmem.mixers.attention import Attention
      mixer = Attention(d_model=64, num_heads=4, capacity=512)
      state = mixer.init_state(batch_size=2)

  Attributes:
    capacity: M, tokens of a document at most.
    implementation: "auto", "xla" (our blocks), "cudnn" or "splash"; one that is named
      and cannot is an error that says why, see `ops.attention_core.dispatch`.
    others: see `Attending`.
  """

  capacity: int = 2048
  implementation: str = "auto"

  family: ClassVar[str] = "attention"

  @nn.compact
  def __call__(
    self, x: Activations, state: attention.State, reset: Reset | None = None
  ) -> tuple[Activations, attention.State]:
    y, state = self._attend(  # [B, T, A, K]
      attention,
      self._learned(),
      self._qkv(x),
      state,
      reset,
      score=self._score,
    )
    return self._out(x, y), state

  @property
  def mask(self) -> Mask:
    """Who sees whom in a document."""
    return Causal()

  @property
  def _state_spec(self) -> OpState:
    return OpState(attention, (self.capacity, *self._kept), self.dtype)


Mixer = Attention
