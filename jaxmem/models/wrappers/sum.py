"""A memory beside another one: the sum of two mixers that begins as the first alone.

Source: Munkhdalai, Faruqui and Gopal 2024, arXiv:2404.07143, put a compressive memory
beside local attention; the weight that begins at 0 is that of Bachlechner et al. 2020,
arXiv:2003.04887 (ReZero), a channel each.
"""

import numpy as np
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.primitives import named
from jaxmem.models.wrappers import Sight
from jaxmem.ops.recurrence import scan


class Sum(nn.Module):
  """y = base(x) + scale * memory(x); the parameters of both and D, scale 0 at first.

  So a model that is trained can be given a memory without a change of what it says. The
  state is a pair, the base's and the memory's. In a pattern it is
  `sum(window:window_size=64,gated_delta)`.

      from jaxmem.models.wrappers.sum import Sum
      from jaxmem.mixers.gru import GRU
      from jaxmem.mixers.window import Window
      mixer = Sum(Window(d_model=64, parent=None), GRU(d_model=64, parent=None))
      state = mixer.init_state(batch_size=2)

  Attributes:
    base: a mixer, unbound.
    memory: another one, unbound.
  """

  base: nn.Module
  memory: nn.Module

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[State, State], reset: Reset | None = None
  ) -> tuple[Activations, tuple[State, State]]:
    y, base = self.base(x, state[0], reset)
    more, memory = self.memory(x, state[1], reset)
    zeros = named(nn.initializers.zeros, ("embed",), decay=False)
    scale = self.param("scale", zeros, (self.d_model,))
    return y + scan.per_channel(scale, more) * more, (base, memory)

  @property
  def d_model(self) -> int:
    return self.base.d_model

  @property
  def causal(self) -> bool:
    """Whether a token is read by later ones alone."""
    return all(getattr(m, "causal", True) for m in (self.base, self.memory))

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    return part_sees(self.base, reset) | part_sees(self.memory, reset)

  def init_state(self, batch_size: int) -> tuple[State, State]:
    return self.base.init_state(batch_size), self.memory.init_state(batch_size)

  def state_axes(self) -> tuple[State, State]:
    return self.base.state_axes(), self.memory.state_axes()


Wrapper = Sum
