"""The letters and types that all packages share.

    B  rows of a batch        T  tokens of a call        D  features of the model
    H  heads                  K  key features a head     V  value features a head
    C  tokens of a chunk      W  tokens of a window      M  slots of a memory
    L  taps of a short convolution                       A  query heads, N a key head

One layout for ever: sequences are [B, T, ...], heads [B, T, H, K], matrix states
[B, H, K, V]. States are [B, ...] and have no time axis.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int

# A state is a NamedTuple of arrays [B, ...]; a state of several memories is a tree of
# those. `Any` because a pytree of arrays has no narrower static type.
State = Any

# form(params, inputs, state, reset=None, **options) -> (y, state)
Form = Callable[..., tuple[Array, State]]

Reset = Bool[Array, "B T"]
Tokens = Int[Array, "B T"]
Activations = Float[Array, "B T D"]


@runtime_checkable
class SequenceMixer(Protocol):
  """What mixes information over time; structural, nobody inherits from it.

  `state` holds all that the mixer remembers; zeros are the empty memory. `reset[b, t]`
  True means: forget before reading token t of row b.

  A mixer that reads both ways says `causal = False`: its state is (), a call holds
  whole documents, and no language model takes it.
  """

  d_model: int

  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]: ...

  def init_state(self, batch_size: int) -> State:
    """Returns the empty memory of `batch_size` rows."""
    ...

  def state_axes(self) -> State:
    """Returns the logical names of the state's axes, see `parallel.mesh.RULES`."""
    ...
