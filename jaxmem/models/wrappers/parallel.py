"""Parallel layers: they read the same input, and their outputs are added.

Source: Wang and Komatsuzaki 2021, GPT-J-6B (attention beside an MLP).
"""

import numpy as np
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.models.wrappers import Sight


class Parallel(nn.Module):
  """Adds the outputs of its parts: y = part_0(x) + part_1(x) + ...

  The state is a tuple with one state a part. In a pattern the wrapper is
  `parallel(window,gru)`; `sum` differs by a scale that begins at 0.

      from jaxmem.models.wrappers.parallel import Parallel
      from jaxmem.mixers.gru import GRU
      from jaxmem.mixers.window import Window
      mixer = Parallel((Window(d_model=64, parent=None), GRU(d_model=64, parent=None)))
      state = mixer.init_state(batch_size=2)

  Attributes:
    parts: mixers or MLPs, unbound.
  """

  parts: tuple[nn.Module, ...]

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[State, ...], reset: Reset | None = None
  ) -> tuple[Activations, tuple[State, ...]]:
    outputs, states = [], []
    for part, part_state in zip(self.parts, state, strict=True):
      y, part_state = part(x, part_state, reset)  # [B, T, D]
      outputs.append(y)
      states.append(part_state)
    return sum(outputs[1:], start=outputs[0]), tuple(states)

  @property
  def d_model(self) -> int:
    """D, the number of features."""
    return self.parts[0].d_model

  @property
  def causal(self) -> bool:
    """Whether no part lets a token see later ones."""
    return all(getattr(part, "causal", True) for part in self.parts)

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    """Returns which tokens reach which: those that reach it in any part."""
    return np.any([part_sees(part, reset) for part in self.parts], axis=0)

  def init_state(self, batch_size: int) -> tuple[State, ...]:
    """Returns the empty states of the parts."""
    return tuple(part.init_state(batch_size) for part in self.parts)

  def state_axes(self) -> tuple[State, ...]:
    """Returns the logical axis names of the parts' states."""
    return tuple(part.state_axes() for part in self.parts)


Wrapper = Parallel
