"""Layers that read the same input at once; their outputs are added.

Source: Wang and Komatsuzaki 2021, GPT-J-6B, put attention and MLP side by side.
"""

import numpy as np
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.models.wrappers import Sight


class Parallel(nn.Module):
  """y = part_0(x) + part_1(x) + ...; the parameters of all.

  The state is a tuple, one a part. In a pattern it is `parallel(window,gru)`; `sum`
  has a scale that begins at 0.

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
    run = zip(self.parts, state, strict=True)
    outputs, states = zip(*(part(x, old, reset) for part, old in run), strict=True)
    return sum(outputs[1:], start=outputs[0]), states

  @property
  def d_model(self) -> int:
    return self.parts[0].d_model

  @property
  def causal(self) -> bool:
    """Whether a token is read by later ones alone."""
    return all(getattr(part, "causal", True) for part in self.parts)

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    return np.any([part_sees(part, reset) for part in self.parts], axis=0)

  def init_state(self, batch_size: int) -> tuple[State, ...]:
    return tuple(part.init_state(batch_size) for part in self.parts)

  def state_axes(self) -> tuple[State, ...]:
    return tuple(part.state_axes() for part in self.parts)


Wrapper = Parallel
