"""Blocks, and groups of blocks scanned over the layers. The one file with nn.scan."""

import jax
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.primitives import Dropout, GatedMLP, dense, layer_norm, rms_norm
from jaxmem.models.pattern import Entry, Pattern, mixer


class Block(nn.Module):
  """x + mixer(norm(x)), then x + mlp(norm(x)).

  Attributes:
    entry: which memory.
    d_model: D.
    d_ff: width of the MLP.
    dropout: rate on both branches, in [0, 1); the mixer itself has none.
    dtype: of the computation.
  """

  entry: Entry
  d_model: int
  d_ff: int
  dropout: float = 0.0
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    drop = Dropout(self.dropout, deterministic=deterministic)
    y = rms_norm("mixer_norm", self.dtype)(x)
    y, state = self._mixer(name="mixer")(y, state, reset)
    x = x + drop(y)
    y = rms_norm("mlp_norm", self.dtype)(x)
    y = GatedMLP(self.d_model, self.d_ff, self.dtype, name="mlp")(y)
    return x + drop(y), state

  def _mixer(self, **fields) -> nn.Module:
    return mixer(self.entry, self.d_model, self.dtype, **fields)

  def init_state(self, batch_size: int) -> State:
    return self._mixer(parent=None).init_state(batch_size)

  def state_axes(self) -> State:
    return self._mixer(parent=None).state_axes()


class PostNormBlock(Block):
  """norm(x + mixer(x)), then norm(x + mlp(x)), with biases and GELU: BERT's.

  Source: Devlin et al. 2018, arXiv:1810.04805; Vaswani et al. 2017, arXiv:1706.03762.
  """

  @nn.compact
  def __call__(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    drop = Dropout(self.dropout, deterministic=deterministic)
    y, state = self._mixer(name="mixer")(x, state, reset)
    x = layer_norm("mixer_norm", self.dtype)(x + drop(y))
    y = dense(self.d_ff, ("embed", "mlp"), "up", self.dtype, bias=True)(x)
    y = nn.gelu(y, approximate=False)
    y = dense(self.d_model, ("mlp", "embed"), "down", self.dtype, bias=True)(y)
    return layer_norm("mlp_norm", self.dtype)(x + drop(y)), state


BLOCKS = {"pre": Block, "post": PostNormBlock}


class Group(nn.Module):
  """The pattern's blocks one after the other; the state is a tuple, one a block."""

  pattern: Pattern
  d_model: int
  d_ff: int
  dropout: float = 0.0
  dtype: str = "float32"
  block: str = "pre"

  @nn.compact
  def __call__(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    states = []
    for i, (block, old) in enumerate(zip(self.blocks(), state, strict=True)):
      x, new = block.clone(parent=self, name=f"block_{i}")(x, old, reset, deterministic)
      states.append(new)
    return x, tuple(states)

  def blocks(self) -> list[Block]:
    """The blocks, unbound."""
    args = (self.d_model, self.d_ff, self.dropout, self.dtype)
    block = BLOCKS[self.block]
    return [block(item, *args, parent=None) for item in self.pattern]

  def init_state(self, batch_size: int) -> State:
    return tuple(block.init_state(batch_size) for block in self.blocks())

  def state_axes(self) -> State:
    return tuple(block.state_axes() for block in self.blocks())


class Stack(nn.Module):
  """`num_groups` groups, scanned; states are [B, G, ...], rows first like any state.

  One token unrolls the groups: a loop over layers while decoding copies every state and
  takes twice the time.

  Attributes:
    pattern: the memories of a group.
    d_model: D.
    d_ff: width of the MLPs.
    num_groups: G.
    dropout: see `Block`.
    remat: compute a group again in the reverse pass instead of keeping its activations.
    dtype: of the computation.
    block: "pre", see `Block`, or "post", see `PostNormBlock`.
  """

  pattern: Pattern
  d_model: int
  d_ff: int
  num_groups: int = 1
  dropout: float = 0.0
  remat: bool = False
  dtype: str = "float32"
  block: str = "pre"

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
    return scanned(*self._fields, name="groups")(x, state, reset, deterministic)

  @property
  def _fields(self) -> tuple:
    sizes = self.d_model, self.d_ff
    return self.pattern, *sizes, self.dropout, self.dtype, self.block

  def init_state(self, batch_size: int) -> State:
    state = Group(*self._fields, parent=None).init_state(batch_size)
    stack = lambda a: a[:, None].repeat(self.num_groups, axis=1)
    return jax.tree.map(stack, state)

  def state_axes(self) -> State:
    axes = Group(*self._fields, parent=None).state_axes()
    is_axes = lambda a: type(a) is tuple and all(isinstance(n, str | None) for n in a)
    layered = lambda a: (a[0], "layers", *a[1:])
    return jax.tree.map(layered, axes, is_leaf=is_axes)
