"""First layers, groups of blocks scanned, last layers. The one file with nn.scan."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.models.block import Residual, ResidualBlock
from jaxmem.models.pattern import Entry, Pattern

# Features, and the side stream; None where no layer reads one.
Carry = tuple[Activations, Activations | None]


class Group(nn.Module):
  """The pattern's blocks one after the other; the state is a tuple, one a block."""

  pattern: Pattern
  d_model: int
  d_ff: int
  dropout: float = 0.0
  dtype: str = "float32"
  mlp: Entry | None = Entry("swiglu")
  residual: Residual = Residual()

  @nn.compact
  def __call__(
    self,
    carry: Carry,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Carry, State]:
    (x, stream), states = carry, []
    for i, (block, old) in enumerate(zip(self.blocks(), state, strict=True)):
      block = block.clone(parent=self, name=f"block_{i}")
      x, new, stream = block.with_stream(x, old, reset, deterministic, stream)
      states.append(new)
    return (x, stream), tuple(states)

  def blocks(self) -> list[ResidualBlock]:
    """The blocks, unbound."""
    sizes = self.d_model, self.d_ff, self.dropout, self.dtype
    how = self.mlp, self.residual
    return [ResidualBlock(item, *sizes, *how, parent=None) for item in self.pattern]

  def init_state(self, batch_size: int) -> State:
    return tuple(block.init_state(batch_size) for block in self.blocks())

  def state_axes(self) -> State:
    return tuple(block.state_axes() for block in self.blocks())


class Parts(NamedTuple):
  """The state of a stack that has first or last layers."""

  first: tuple[State, ...]
  groups: tuple[State, ...]
  last: tuple[State, ...]


def blocks_of(config: Any) -> Pattern:
  """All blocks of a model's config in their order, a group once."""
  return getattr(config, "first", ()) + config.pattern + getattr(config, "last", ())


def parts_of(memory: State) -> Parts:
  """The states of the blocks in the memory of a language model or of a stack."""
  memory = getattr(memory, "stack", memory)  # without the positions
  return memory if isinstance(memory, Parts) else Parts((), memory, ())


class Stack(nn.Module):
  """First layers, `num_groups` groups, scanned, and last layers.

  The states of the groups are [B, G, ...], rows first like any state; where there are
  no first and last layers they are the whole state, else it is `Parts`.

  One token unrolls the groups: a loop over layers while decoding copies every state and
  takes twice the time.

  A layer may give activations to later ones, as RWKV-7 gives the values of its first:
  one side stream, [B, T, D], zeros before a layer has given. A layer that does so has a
  method `with_stream(x, state, reset, stream) -> (y, state, stream)` and the property
  `takes_stream`, whether it reads it; where none does, there is no stream.

  Attributes:
    pattern: the memories of a group.
    d_model: D.
    d_ff: width of the MLPs.
    num_groups: G.
    dropout: see `ResidualBlock`.
    remat: compute a group again in the reverse pass instead of keeping its activations.
    dtype: of the computation.
    mlp: of a block that names none; None is none.
    residual: how a block joins its layers.
    first: memories before the groups.
    last: memories behind them.
  """

  pattern: Pattern
  d_model: int
  d_ff: int
  num_groups: int = 1
  dropout: float = 0.0
  remat: bool = False
  dtype: str = "float32"
  mlp: Entry | None = Entry("swiglu")
  residual: Residual = Residual()
  first: Pattern = ()
  last: Pattern = ()

  @nn.compact
  def __call__(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    group = Group
    if self.remat:
      group = nn.remat(Group, prevent_cse=False, static_argnums=(4,))
    scanned = nn.scan(
      group,
      variable_axes={"params": 0, "losses": 0, "intermediates": 0},
      split_rngs={"params": True, "dropout": True},
      in_axes=(1, nn.broadcast, nn.broadcast),
      out_axes=1,
      length=self.num_groups,
      unroll=self.num_groups if x.shape[1] == 1 else 1,
      metadata_params={nn.PARTITION_NAME: "layers"},
    )
    call = reset, deterministic
    stream = jnp.zeros_like(x) if self._has_stream else None
    first, groups, last = self._split(state)
    carry = x, stream
    if self.first:
      carry, first = group(*self._fields(self.first), name="first")(carry, first, *call)
    scan = scanned(*self._fields(self.pattern), name="groups")
    carry, groups = scan(carry, groups, *call)
    if self.last:
      carry, last = group(*self._fields(self.last), name="last")(carry, last, *call)
    return carry[0], self._joined(Parts(first, groups, last))

  def _fields(self, pattern: Pattern) -> tuple:
    sizes = self.d_model, self.d_ff
    return pattern, *sizes, self.dropout, self.dtype, self.mlp, self.residual

  def _group(self, pattern: Pattern) -> Group:
    return Group(*self._fields(pattern), parent=None)

  @property
  def _has_stream(self) -> bool:
    """Whether a layer reads what an earlier one gives.

    Raises:
      ValueError: if none has given before.
    """
    blocks = self._group(self.first + self.pattern + self.last).blocks()
    layers = [layer for block in blocks for layer in block.streams()]
    if layers and layers[0][1]:
      raise ValueError(
        f"{layers[0][0]!r} reads what an earlier layer gives, and there is none: name "
        "one among the first layers of the model"
      )
    return any(reads for _, reads in layers)

  def _split(self, state: State) -> Parts:
    return state if self.first or self.last else Parts((), state, ())

  def _joined(self, parts: Parts) -> State:
    return parts if self.first or self.last else parts.groups

  def init_state(self, batch_size: int) -> State:
    empty = lambda pattern: self._group(pattern).init_state(batch_size)
    stack = lambda a: a[:, None].repeat(self.num_groups, axis=1)
    groups = jax.tree.map(stack, empty(self.pattern))
    return self._joined(Parts(empty(self.first), groups, empty(self.last)))

  def state_axes(self) -> State:
    axes = lambda pattern: self._group(pattern).state_axes()
    names = lambda a: bool(a) and all(isinstance(n, str | None) for n in a)
    is_axes = lambda a: type(a) is tuple and names(a)
    layered = lambda a: (a[0], "layers", *a[1:])
    groups = jax.tree.map(layered, axes(self.pattern), is_leaf=is_axes)
    return self._joined(Parts(axes(self.first), groups, axes(self.last)))
