"""Full attention both ways, for encoders.

Source: see `jaxmem.ops.encoder_attention`.
"""

from typing import ClassVar

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.attention_heads import Attending
from jaxmem.ops import encoder_attention
from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.encoder_attention import WHOLE


class EncoderAttention(Attending):
  """Attention to the whole document, both ways; 2 D K (H + H_kv) parameters.

  A token reads its document and no other, what follows included: nothing can be
  carried, the state is (), and a call holds whole documents.

      from jaxmem.mixers.encoder_attention import EncoderAttention
      mixer = EncoderAttention(d_model=64, num_heads=4)
      y, state = mixer.apply(params, x, (), reset)

  Attributes:
    form: "auto", "dense" or "parallel".
    implementation: "auto", "xla" (our blocks), "cudnn" or "splash"; one that is named
      and cannot is an error that says why, see `ops.attention_core.dispatch`.
    others: see `Attending`.
  """

  implementation: str = "auto"

  family: ClassVar[str] = "attention"
  causal = False

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    y, state = self._attend(  # [B, T, A, K]
      encoder_attention,
      self._learned(),
      self._qkv(x),
      state,
      reset,
      mask=self.mask,
      score=self._score,
    )
    return self._out(x, y), state

  @property
  def mask(self) -> Mask:
    """Who sees whom."""
    return WHOLE


Mixer = EncoderAttention
