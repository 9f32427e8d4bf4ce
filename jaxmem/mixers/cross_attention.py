"""Attention to a fixed memory: what an encoder made of another sequence.

Source: see `jaxmem.ops.cross_attention`.
"""

import dataclasses
from typing import ClassVar

from flax import linen as nn

from jaxmem.core.ranges import number
from jaxmem.layers.attention_heads import Attending
from jaxmem.layers.encoder_memory import EncoderMemory
from jaxmem.layers.mixer import OpState
from jaxmem.ops import cross_attention
from jaxmem.parallel import apply

# Options of attention that say what distance does.
_OF_DISTANCE = (
  "rotary_base", "rotary_dim", "rotary_scaling", "rotary_factor", "trained_length",
  "rotary_fast", "rotary_slow", "bias", "num_buckets", "farthest",
)  # fmt: skip


class CrossAttention(EncoderMemory, Attending):
  """Reads an encoder's outputs and writes nothing; 2 K (D H + D_enc H_kv) parameters.

  State: keys and values of S tokens and how many there are, 2 S H_kv K numbers of
  `dtype` a row. The empty memory reads as 0; a reset forgets it. It comes from the
  encoder's outputs by `remember`:

      from jaxmem.mixers.cross_attention import CrossAttention
      mixer = CrossAttention(d_model=64, num_heads=4, memory_size=32)
      state = mixer.apply(params, encoded, valid, method="remember")
      y, state = mixer.apply(params, x, state)

  Attributes:
    memory_size: S, tokens remembered at most.
    d_encoded: D_enc, features of what is remembered; 0 is D.
    rotary_base: None: there is no distance between two sequences; nor may any other
      option that knows distances be given.
    others: see `Attending`.
  """

  memory_size: int = 512
  d_encoded: int = 0
  rotary_base: float | None = number(None, above=0)

  family: ClassVar[str] = "attention"

  def _read(self, x, state, reset):
    y, state = apply.apply(  # [B, T, A, K]
      cross_attention,
      self.form,
      self._learned(),
      (self._queries(x),),
      state,
      reset,
      sizes={"block_size": self.block_size},
      score=self._score,
    )
    return self._out(x, y), state

  def _keep(self, encoded, valid):
    return cross_attention.State(*self._keys(encoded), valid)

  @nn.nowrap
  def _check(self) -> None:
    super()._check()
    defaults = {field.name: field.default for field in dataclasses.fields(self)}
    for name in _OF_DISTANCE:
      if getattr(self, name) != defaults[name]:
        raise ValueError(
          f"{name} is {getattr(self, name)!r}: there is no distance between two "
          "sequences, leave it out in cross attention"
        )

  @property
  def _state_spec(self) -> OpState:
    return OpState(cross_attention, (self.memory_size, *self._kept), self.dtype)


Mixer = CrossAttention
