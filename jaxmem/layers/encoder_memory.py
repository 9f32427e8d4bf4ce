"""What mixers share that only read: their memory comes from an encoder's outputs."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory
from jaxmem.ops.recurrence import scan


class EncoderOutputs(NamedTuple):
  """An encoder's outputs, before a mixer has made its memory of them.

  Attributes:
    tokens: [B, S, E].
    valid: how many first ones of a row are tokens; the others are padding.
  """

  tokens: Float[Array, "B S E"]
  valid: Int[Array, " B"]


class EncoderMemory(Memory):
  """A mixer that reads an encoder's outputs.

  Its state comes from `remember`, or from `EncoderOutputs` in the place of a state. A
  subclass has `memory_size`, `d_encoded` and `d_model`, and two methods, `_read(x,
  state, reset)` and `_keep(encoded, valid)`, of tokens padded to `memory_size`.
  """

  def __call__(
    self, x: Activations, state: State | EncoderOutputs, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    if self.is_initializing() and not isinstance(state, EncoderOutputs):
      # the parameters of both methods are made, though this call needs one alone
      shape = len(x), self.memory_size, self.d_encoded or self.d_model
      self._parts("remember", jnp.zeros(shape, x.dtype), state.count)
    if isinstance(state, EncoderOutputs):
      state = self.remember(*state)
    return self._parts("read", x, state, reset)

  def remember(self, encoded: Float[Array, "B S E"], valid: Int[Array, " B"]) -> State:
    """The memory of an encoder's outputs.

    Args:
      encoded: at most `memory_size` tokens a row.
      valid: int32, how many first ones of a row are tokens; the others are padding.

    Returns:
      A state to begin from.

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
    """`_read` or `_remember`: Flax makes parameters in one compact method alone."""
    return self._read(*args) if part == "read" else self._remember(*args)

  def _remember(self, encoded, valid):
    is_token = scan.indices(encoded.shape[1]) < valid[:, None]  # [B, S]
    # padding must be finite, whatever the encoder made of it
    encoded = jnp.where(is_token[..., None], encoded, 0)
    padding = ((0, 0), (0, self.memory_size - encoded.shape[1]), (0, 0))
    return self._keep(jnp.pad(encoded, padding), valid.astype(jnp.int32))


# Their names before 0.2.
Encoded, Given = EncoderOutputs, EncoderMemory
