"""Segment recurrence (Transformer-XL) as a mixer.

Source: see `jaxmem.ops.transformer_xl`; Dai et al. 2019, arXiv:1901.02860.
"""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.attention_heads import Heads
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import dense, named
from jaxmem.ops import transformer_xl
from jaxmem.ops.attention_core.masks import Mask


class TransformerXL(Heads):
  """Causal attention to the own segment and the M tokens before, by relative position.

  State: the last S + M keys and values, 2 (S + M) H_kv K numbers of `dtype` a row.

      from jaxmem.mixers.transformer_xl import TransformerXL
      mixer = TransformerXL(d_model=64, num_heads=4, segment_length=16)
      state = mixer.init_state(batch_size=2)

  Attributes:
    segment_length: S, tokens of a segment, counted from the document's first.
    memory_length: M, tokens before the own segment that are seen; 0 is S.
    through_memory: whether gradients pass to earlier segments; in the paper they do
      not. What was kept of an earlier call gives none in either case.
    others: see `Heads`.
  """

  segment_length: int = 64
  memory_length: int = 0
  through_memory: bool = False

  family: ClassVar[str] = "attention"

  @nn.compact
  def __call__(
    self, x: Activations, state: transformer_xl.State, reset: Reset | None = None
  ) -> tuple[Activations, transformer_xl.State]:
    zeros = named(nn.initializers.zeros, ("heads", None), decay=False)
    shape = self.num_heads, self._dims[1]
    biases = (self.param(name, zeros, shape) for name in ("content", "place"))
    y, state = self._attend(  # [B, T, A, K]
      transformer_xl,
      (*biases, self._distances()),
      self._qkv(x),
      state,
      reset,
      segment_length=self.segment_length,
      through_memory=self.through_memory,
    )
    return self._out(x, y), state

  def _distances(self) -> Float[Array, "W A K"]:
    """r: a linear map of the sinusoids of the distances 0 .. S + M - 1."""
    half = -(-self.d_model // 2)
    rates = 10_000.0 ** -(np.arange(half) / half)
    angles = np.arange(sum(self._lengths))[:, None] * rates
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, : self.d_model]
    shape = self.num_heads, self._dims[1]
    project = dense(shape, ("embed", "heads", None), "distance", "float32")
    return project(jnp.asarray(waves, jnp.float32))  # [S + M, A, K]

  @property
  def mask(self) -> Mask:
    """Who sees whom in a document."""
    return transformer_xl.mask(*self._lengths)

  @property
  def _lengths(self) -> tuple[int, int]:
    """S and M."""
    return self.segment_length, self.memory_length or self.segment_length

  @property
  def _state_spec(self) -> OpState:
    return OpState(transformer_xl, (*self._lengths, *self._kept), self.dtype)


Mixer = TransformerXL
