"""Sums of two mixers, which begin as the first mixer alone.

Source: Munkhdalai, Faruqui and Gopal 2024, arXiv:2404.07143 (a compressive memory
beside local attention); Bachlechner et al. 2020, arXiv:2003.04887 (ReZero, a weight
that begins at 0; here each channel has one).
"""

import numpy as np
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.primitives import named
from jaxmem.models.wrappers import Sight
from jaxmem.ops.recurrence import scan


class Sum(nn.Module):
  """Adds a memory to a base: y = base(x) + scale * memory(x), where scale begins at 0.

  So a trained model can be given a memory without a change of its outputs. The state is
  a pair, the base's and the memory's. In a pattern the wrapper is
  `sum(window:window_size=64,gated_delta)`. Cost: the parameters of both, and D.

      from jaxmem.models.wrappers.sum import Sum
      from jaxmem.mixers.gru import GRU
      from jaxmem.mixers.window import Window
      mixer = Sum(Window(d_model=64, parent=None), GRU(d_model=64, parent=None))
      state = mixer.init_state(batch_size=2)

  Attributes:
    base: a mixer, unbound.
    memory: the mixer that is added to it, unbound.
  """

  base: nn.Module
  memory: nn.Module

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[State, State], reset: Reset | None = None
  ) -> tuple[Activations, tuple[State, State]]:
    y, base = self.base(x, state[0], reset)  # [B, T, D]
    added, memory = self.memory(x, state[1], reset)  # [B, T, D]
    zeros = named(nn.initializers.zeros, ("embed",), decay=False)
    scale = self.param("scale", zeros, (self.d_model,))
    # `per_channel`: XLA on CPU sums the gradient of a broadcast [D] 50 times slower
    return y + scan.per_channel(scale, added) * added, (base, memory)

  @property
  def d_model(self) -> int:
    """D, the number of features."""
    return self.base.d_model

  @property
  def causal(self) -> bool:
    """Whether neither mixer lets a token see later ones."""
    return all(getattr(m, "causal", True) for m in (self.base, self.memory))

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    """Returns which tokens reach which: those that reach it in either mixer."""
    return part_sees(self.base, reset) | part_sees(self.memory, reset)

  def init_state(self, batch_size: int) -> tuple[State, State]:
    """Returns the empty states of both mixers."""
    return self.base.init_state(batch_size), self.memory.init_state(batch_size)

  def state_axes(self) -> tuple[State, State]:
    """Returns the logical axis names of both states."""
    return self.base.state_axes(), self.memory.state_axes()


Wrapper = Sum
