"""Learned initial states of mixers; see `jaxmem.ops.recurrence.learned_init`."""

from typing import Any

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
  """Starts the memory of a mixer's op from parameters, one for each number of a state.

  The state is the mixer's own, and holds the difference from the start. In a pattern
  the wrapper is `learned_init(gru)`.

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
    file = type(self.mixer).__module__.rpartition(".")[2]
    if not isinstance(self.mixer, Memory) or file not in mixers.names():
      cls = type(self.mixer).__name__
      raise ValueError(f"a learned state is that of a mixer, and {cls} is none")
    op = ops.record(mixers.op(file))
    empty, axes = (
      next(a for a in self._nodes(op, tree) if isinstance(a, op.State))
      for tree in (self.init_state(1), self.state_axes())
    )

    def param(name):
      shape, names = getattr(empty, name).shape[1:], getattr(axes, name)[1:]
      return self.param(
        f"start_{name}", named(nn.initializers.zeros, names, decay=False), shape
      )

    start = tuple(map(param, learned_init.fields(op)))
    changed_ops = []  # shows whether the mixer asked for its op at all

    def change_op(op):
      changed_ops.append(op)
      return learned_init.begin(op, start)

    # the clone has the scope, and so the parameter paths, of the mixer it replaces
    scope: Any = self.mixer.scope
    mixer = self.mixer.clone(parent=scope.rewound(), change_op=change_op)
    y, state = mixer(x, state, reset)
    if not changed_ops:
      raise ValueError(
        f"{type(self.mixer).__name__} applies its op as it is, and no learned state "
        "reaches it: give `apply` self.op(...) of the op"
      )
    return y, state

  def _nodes(self, op, tree: State) -> list:
    """Returns the leaves of a tree, in which the op's states are leaves."""
    return jax.tree.leaves(tree, is_leaf=lambda a: isinstance(a, op.State))

  @property
  def d_model(self) -> int:
    """D, the number of features."""
    return self.mixer.d_model

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    """Returns which tokens reach which: those of the mixer."""
    return part_sees(self.mixer, reset)

  def init_state(self, batch_size: int) -> State:
    """Returns the empty state of the mixer."""
    return self.mixer.init_state(batch_size)

  def state_axes(self) -> State:
    """Returns the logical axis names of the mixer's state."""
    return self.mixer.state_axes()


Wrapper = LearnedInit
