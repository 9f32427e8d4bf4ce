"""What mixers share whose memory is the outputs of an encoder."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory
from jaxmem.ops.recurrence import scan


class EncoderOutputs(NamedTuple):
  """The outputs of an encoder, before a mixer has made its memory of them.

  Attributes:
    tokens: features of the encoded tokens, [B, S, E].
    valid: how many of each row are tokens; those behind them are padding.
  """

  tokens: Float[Array, "B S E"]
  valid: Int[Array, " B"]


class EncoderMemory(Memory):
  """A mixer that reads the outputs of an encoder.

  Its state is made by `remember`, or in the call if `EncoderOutputs` is passed as the
  state. A subclass has `memory_size`, `d_encoded` and `d_model`, and two methods,
  `_read(x, state, reset)` and `_keep(encoded, valid)`, which gets tokens padded to
  `memory_size`.
  """

  def __call__(
    self, x: Activations, state: State | EncoderOutputs, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    if self.is_initializing() and not isinstance(state, EncoderOutputs):
      # this call only reads, but the parameters of `_keep` must be made, too
      shape = len(x), self.memory_size, self.d_encoded or self.d_model
      self._parts("remember", jnp.zeros(shape, x.dtype), state.count)
    if isinstance(state, EncoderOutputs):
      state = self.remember(*state)
    return self._parts("read", x, state, reset)

  def remember(self, encoded: Float[Array, "B S E"], valid: Int[Array, " B"]) -> State:
    """Makes the memory of an encoder's outputs.

    Args:
      encoded: at most `memory_size` tokens a row.
      valid: int32, how many of each row are tokens; those behind them are padding.

    Returns:
      The state before the first token of the decoder.

    Raises:
      ValueError: if there are more tokens than the memory holds.
    """
    if encoded.shape[1] > self.memory_size:
      raise ValueError(
        f"{encoded.shape[1]} tokens to remember, memory_size is {self.memory_size}: "
        "raise it"
      )
    return self._parts("remember", encoded, valid)

  @nn.compact
  def _parts(self, part: str, *args: Any) -> Any:
    """Calls `_read` or `_remember`, since Flax allows one compact method."""
    return self._read(*args) if part == "read" else self._remember(*args)

  def _remember(self, encoded, valid):
    is_token = scan.indices(encoded.shape[1]) < valid[:, None]  # [B, S]
    # an encoder may leave NaN in padding, which a mask of 0 would not remove later
    encoded = jnp.where(is_token[..., None], encoded, 0)
    padding = ((0, 0), (0, self.memory_size - encoded.shape[1]), (0, 0))
    # the state has one size, whatever the longest row of the batch
    return self._keep(jnp.pad(encoded, padding), valid.astype(jnp.int32))


# The names of these classes before 0.2.
Encoded, Given = EncoderOutputs, EncoderMemory
