"""A mixer with a learned initial state; see `jaxmem.ops.recurrence.learned_init`."""

import jax
import numpy as np
from flax import linen as nn

from jaxmem import mixers, ops
from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import named
from jaxmem.models.wrappers import Sight
from jaxmem.ops.recurrence import learned_init


class LearnedInit(nn.Module):
  """`mixer`, its op's memory starting from parameters; as many as a row's state has.

  The state is the mixer's own, and holds the difference from the start. In a pattern it
  is `learned_init(gru)`.

      from jaxmem.mixers.gru import GRU
      from jaxmem.models.wrappers.learned_init import LearnedInit
      mixer = LearnedInit(GRU(d_model=64, parent=None))
      state = mixer.init_state(batch_size=2)

  Attributes:
    mixer: a mixer of `jaxmem.mixers`, unbound; one whose memory is a sum or a cell.
  """

  mixer: nn.Module

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    if not isinstance(self.mixer, Memory):
      what = type(self.mixer).__name__
      raise ValueError(f"a learned state is that of a mixer, and {what} is none")
    op = ops.record(mixers.op(type(self.mixer).__module__.rpartition(".")[2]))
    empty, axes = (
      next(a for a in self._nodes(op, tree) if isinstance(a, op.State))
      for tree in (self.init_state(1), self.state_axes())
    )

    def param(name):
      shape, own = getattr(empty, name).shape[1:], getattr(axes, name)[1:]
      return self.param(
        f"start_{name}", named(nn.initializers.zeros, own, decay=False), shape
      )

    start = tuple(map(param, learned_init.fields(op)))
    # the same mixer in the same place, with another op
    begin = lambda op: learned_init.begin(op, start)
    scope = self.mixer.scope.rewound()  # where a mixer that is called again stands
    return self.mixer.clone(parent=scope, change_op=begin)(x, state, reset)

  def _nodes(self, op, tree: State) -> list:
    return jax.tree.leaves(tree, is_leaf=lambda a: isinstance(a, op.State))

  @property
  def d_model(self) -> int:
    return self.mixer.d_model

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    return part_sees(self.mixer, reset)

  def init_state(self, batch_size: int) -> State:
    return self.mixer.init_state(batch_size)

  def state_axes(self) -> State:
    return self.mixer.state_axes()


Wrapper = LearnedInit
