"""Additive attention to a fixed memory: what an encoder made of another sequence.

Source: see `jaxmem.ops.additive_attention`.
"""

from typing import ClassVar

from flax import linen as nn

from jaxmem.layers.encoder_memory import EncoderMemory
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import dense, named
from jaxmem.ops import additive_attention
from jaxmem.parallel import apply


class AdditiveAttention(EncoderMemory):
  """Reads an encoder's outputs and writes nothing; K (D + D_enc + 2) + D_enc D numbers.

  State: keys and the outputs of S tokens and how many there are, S (K + D_enc) numbers
  of `dtype` a row. The empty memory reads as 0; a reset forgets it.

      from jaxmem.mixers.additive_attention import AdditiveAttention
      mixer = AdditiveAttention(d_model=64, memory_size=32)
      state = mixer.apply(params, encoded, valid, method="remember")
      y, state = mixer.apply(params, x, state)

  Attributes:
    d_model: D, features in and out.
    key_dim: K, width of the scoring network; 0 is D.
    memory_size: S, tokens remembered at most.
    d_encoded: D_enc, features of what is remembered; 0 is D.
    form: "auto", "recurrent" or "parallel".
    dtype: of the computation and of what is kept.
  """

  d_model: int
  key_dim: int = 0
  memory_size: int = 512
  d_encoded: int = 0
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "attention"

  def _read(self, x, state, reset):
    size = self.key_dim or self.d_model
    q = dense(size, ("embed", "heads"), "q", self.dtype, bias=True)(x)  # [B, T, K]
    normal = named(nn.initializers.normal(size**-0.5), ("heads",), decay=False)
    w = self.param("w", normal, (size,))
    y, state = apply.apply(additive_attention, self.form, (w,), (q,), state, reset)
    return dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y), state

  def _keep(self, encoded, valid):
    size = self.key_dim or self.d_model
    k = dense(size, ("embed", "heads"), "k", self.dtype)(encoded)  # [B, S, K]
    return additive_attention.State(k, encoded.astype(k.dtype), valid)

  @property
  def _state_spec(self) -> OpState:
    key, value = self.key_dim or self.d_model, self.d_encoded or self.d_model
    return OpState(additive_attention, (self.memory_size, key, value), self.dtype)


Mixer = AdditiveAttention
