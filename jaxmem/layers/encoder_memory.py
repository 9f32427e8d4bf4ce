"""What mixers share that only read: their memory comes from an encoder's outputs."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory
from jaxmem.ops.recurrence import scan


class Encoded(NamedTuple):
  """An encoder's outputs, before a mixer has made its memory of them.

  Attributes:
    tokens: [B, S, E].
    valid: how many first ones of a row are tokens; the others are padding.
  """

  tokens: Float[Array, "B S E"]
  valid: Int[Array, " B"]


class Given(Memory):
  """A mixer whose state is given: by `remember`, or as `Encoded` in its first call.

  A subclass has `memory_size`, `d_encoded` and `d_model`, and two methods, `_read(x,
  state, reset)` and `_keep(encoded, valid)`, of tokens padded to `memory_size`.
  """

  def __call__(
    self, x: Activations, state: State | Encoded, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    if self.is_initializing() and not isinstance(state, Encoded):
      # the parameters of both methods
      shape = len(x), self.memory_size, self.d_encoded or self.d_model
      self._parts("remember", jnp.zeros(shape, x.dtype), state.count)
    if isinstance(state, Encoded):
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
  def _parts(self, what: str, *given: Any) -> Any:
    """Flax makes all parameters in one method."""
    return {"read": self._read, "remember": self._remember}[what](*given)

  def _remember(self, encoded, valid):
    some = scan.indices(encoded.shape[1]) < valid[:, None]
    # padding must be finite, whatever the encoder made of it
    encoded = jnp.where(some[..., None], encoded, 0)
    padding = ((0, 0), (0, self.memory_size - encoded.shape[1]), (0, 0))
    return self._keep(jnp.pad(encoded, padding), valid.astype(jnp.int32))
