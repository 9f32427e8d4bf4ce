"""Stacks: first layers, scanned groups of blocks, last layers; the only nn.scan."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.models.block import Residual, ResidualBlock
from jaxmem.models.pattern import Entry, Pattern

# The features, and the side stream; the stream is None where no layer reads one.
Carry = tuple[Activations, Activations | None]


class Group(nn.Module):
  """Runs the blocks of a pattern in order; the state is a tuple with one a block.

  Attributes:
    pattern: see `Stack`.
    d_model: see `Stack`.
    d_ff: see `Stack`.
    dropout: see `Stack`.
    dtype: see `Stack`.
    mlp: see `Stack`.
    residual: see `Stack`.
  """

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
    """Makes the blocks, unbound."""
    return [
      ResidualBlock(
        block=item,
        d_model=self.d_model,
        d_ff=self.d_ff,
        dropout=self.dropout,
        dtype=self.dtype,
        mlp=self.mlp,
        residual=self.residual,
        parent=None,
      )
      for item in self.pattern
    ]

  def init_state(self, batch_size: int) -> State:
    """Returns the empty state of a batch, rows first."""
    return tuple(block.init_state(batch_size) for block in self.blocks())

  def state_axes(self) -> State:
    """Returns the logical axis names of the state."""
    return tuple(block.state_axes() for block in self.blocks())


class Parts(NamedTuple):
  """The state of a stack that has first or last layers."""

  first: tuple[State, ...]
  groups: tuple[State, ...]
  last: tuple[State, ...]


def blocks_of(config: Any) -> Pattern:
  """Returns all blocks of a model's config in their order, those of a group once."""
  return getattr(config, "first", ()) + config.pattern + getattr(config, "last", ())


def parts_of(memory: State) -> Parts:
  """Returns the states of the blocks from the memory of a language model or a stack."""
  memory = getattr(memory, "stack", memory)  # without the positions
  return memory if isinstance(memory, Parts) else Parts((), memory, ())


class Stack(nn.Module):
  """Runs first layers, `num_groups` scanned groups, and last layers.

  The states of the groups are [B, G, ...], rows first like any state. Without first and
  last layers they are the whole state, else the state is `Parts`.

  A layer may give activations to later ones, as RWKV-7 gives the values of its first
  layer. They travel in one side stream, [B, T, D], which is zeros before a layer has
  given any. Such a layer has a method `with_stream(x, state, reset, stream) ->
  (y, state, stream)` and a property `takes_stream`, which says whether it reads the
  stream; where no layer does, there is no stream.

  Attributes:
    pattern: the memories of a group.
    d_model: D, the number of features.
    d_ff: width of the MLPs.
    num_groups: G.
    dropout: see `ResidualBlock`.
    remat: whether a group is computed again in the reverse pass, which saves the memory
      of its activations.
    dtype: the dtype of the computation.
    mlp: the MLP of a block that names none; None adds none.
    residual: how a block joins its layers.
    first: memories before the groups.
    last: memories after the groups.
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
      # inside a scan nothing can be merged with the forward pass: no barrier is needed
      group = nn.remat(Group, prevent_cse=False, static_argnums=(4,))
    scanned = nn.scan(
      group,
      variable_axes={"params": 0, "losses": 0, "intermediates": 0},
      split_rngs={"params": True, "dropout": True},
      in_axes=(1, nn.broadcast, nn.broadcast),
      out_axes=1,
      length=self.num_groups,
      # one token unrolls the groups: a loop over layers would copy every state, and
      # decoding would take twice the time
      unroll=self.num_groups if x.shape[1] == 1 else 1,
      metadata_params={nn.PARTITION_NAME: "layers"},
      # The check traces every layer twice, and nothing is broadcast out of a group. But
      # it also decides the draws of parameters and of dropout, which have to stay.
      check_constancy_invariants=self.is_initializing() or not deterministic,
    )
    stream = jnp.zeros_like(x) if self._has_stream else None  # [B, T, D]
    first, groups, last = self._split(state)
    carry = x, stream
    if self.first:
      layers = self._group(self.first, group, name="first")
      carry, first = layers(carry, first, reset, deterministic)
    layers = self._group(self.pattern, scanned, name="groups")
    carry, groups = layers(carry, groups, reset, deterministic)  # states [B, G, ...]
    if self.last:
      layers = self._group(self.last, group, name="last")
      carry, last = layers(carry, last, reset, deterministic)
    return carry[0], self._joined(Parts(first, groups, last))

  def _group(self, pattern: Pattern, group: Any = Group, **fields: Any) -> Any:
    """Makes a group of a pattern, with Flax's own fields: `name` or `parent`."""
    return group(
      pattern=pattern,
      d_model=self.d_model,
      d_ff=self.d_ff,
      dropout=self.dropout,
      dtype=self.dtype,
      mlp=self.mlp,
      residual=self.residual,
      **fields,
    )

  def _unbound(self, pattern: Pattern) -> Group:
    return self._group(pattern, parent=None)

  @property
  def _has_stream(self) -> bool:
    """Whether a layer reads the side stream.

    Raises:
      ValueError: if no earlier layer gives to it.
    """
    blocks = self._unbound(self.first + self.pattern + self.last).blocks()
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
    """Returns the empty state of a batch, rows first."""
    first, group, last = (
      self._unbound(pattern).init_state(batch_size)
      for pattern in (self.first, self.pattern, self.last)
    )
    groups = jax.tree.map(
      lambda a: a[:, None].repeat(self.num_groups, axis=1), group
    )  # [B, G, ...]
    return self._joined(Parts(first, groups, last))

  def state_axes(self) -> State:
    """Returns the logical axis names of the state; the axis of groups is "layers"."""
    first, group, last = (
      self._unbound(pattern).state_axes()
      for pattern in (self.first, self.pattern, self.last)
    )
    groups = jax.tree.map(
      lambda axes: (axes[0], "layers", *axes[1:]), group, is_leaf=_is_axes
    )
    return self._joined(Parts(first, groups, last))


def _is_axes(names: Any) -> bool:
  """Whether a node is the axis names of one array, and not a tuple of states."""
  return (
    type(names) is tuple
    and bool(names)
    and all(isinstance(name, str | None) for name in names)
  )


def with_shared(name: str, groups: int, init: bool) -> type[Stack]:
  """Returns the class of a stack whose groups share the parameters of a name.

  They are stored once, [1, ...] in the place of [G, ...], and their gradient is the sum
  over the groups.

  Args:
    name: of the parameters, such as "buckets".
    groups: G.
    init: whether the parameters are made now.
  """

  def change(params: State, of_leaf: Any) -> State:
    def changed(path, leaf):
      return of_leaf(leaf) if any(getattr(k, "key", "") == name for k in path) else leaf

    return jax.tree_util.tree_map_with_path(changed, params)

  def for_each(params: State) -> State:
    return change(params, lambda a: jnp.broadcast_to(a[:1], (groups, *a.shape[1:])))

  def for_all(params: State) -> State:
    return change(params, lambda a: a[:1])

  return nn.map_variables(Stack, "params", for_each, for_all, init=init, mutable=init)
