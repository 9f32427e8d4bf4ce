"""Blocks of a stack: a block is a list of residual branches, each a norm and a layer.

An item of a pattern says which layers: an entry alone is a mixer followed by the
model's MLP, a `Block` names all of its layers. `Residual` says how the branches are
joined, which is the same for a whole stack.
"""

import dataclasses
from typing import Any, Literal

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.norms import Norm
from jaxmem.layers.primitives import Dropout
from jaxmem.models.grammar import NO_MLP
from jaxmem.models.pattern import Block, Entry, mixer, mlp_entry, mlps, walk

Position = Literal["pre", "post", "sandwich"]
# The property of a layer that says whether it reads the side stream, see `Stack`.
STREAM = "takes_stream"


@dataclasses.dataclass(frozen=True)
class Residual:
  """How the outputs of a block's layers are added to its input.

      pre:       x + scale layer(norm(x))
      post:      norm(x + scale layer(x))
      sandwich:  x + scale norm(layer(norm(x)))

  Attributes:
    position: where the norms are: "pre", "post" as in the first Transformer and in
      BERT, or "sandwich" as in Gemma 2.
    norm: which norm.
    parallel: every layer reads the input of the block, as in GPT-J; not with "post".
    scale: multiplies every branch.

  Source: Xiong et al. 2020, arXiv:2002.04745 (pre, post); Ding et al. 2021,
  arXiv:2105.13290 (sandwich).
  """

  position: Position = "pre"
  norm: Norm = Norm()
  parallel: bool = False
  scale: float = 1.0

  def __post_init__(self):
    if self.parallel and self.position == "post":
      raise ValueError(
        "parallel branches have no norm behind each sum: norm_position is 'pre' or "
        "'sandwich'"
      )


def default_mlp(text: str) -> Entry | None:
  """Reads a model's field `mlp`: the MLP of blocks that name none, or None.

  Raises:
    PatternError: see `entries.mlp_entry`.
  """
  return None if text == NO_MLP else mlp_entry(text)


def layers(item: Entry | Block, mlp: Entry | None) -> dict[str, Entry]:
  """Names the layers of a block for its parameters: "mixer", "mlp", "mixer_1", ...

  Args:
    item: an item of a pattern.
    mlp: the MLP that follows an entry alone; None adds none.

  Returns:
    The layers by name, in order.
  """
  if isinstance(item, Block):
    items = item.layers
  else:
    items = (item,) if mlp is None else (item, mlp)
  entries: dict[str, Entry] = {}
  mlp_names = mlps().keys()
  for entry in items:
    kind = "mlp" if entry.name in mlp_names else "mixer"
    count = sum(name.startswith(kind) for name in entries)
    entries[f"{kind}_{count}" if count else kind] = entry
  return entries


class ResidualBlock(nn.Module):
  """The layers of one item of a pattern; each is a residual branch.

  The state is that of the first layer where the others have none, else a tuple with one
  state a layer.

  Attributes:
    block: the item.
    d_model: D, the number of features.
    d_ff: width of the MLP.
    dropout: rate on every branch, in [0, 1); the layers themselves have none.
    dtype: the dtype of the computation.
    mlp: the MLP that follows an entry alone; None adds none.
    residual: how branches are joined.
  """

  block: Entry | Block
  d_model: int
  d_ff: int
  dropout: float = 0.0
  dtype: str = "float32"
  mlp: Entry | None = Entry("swiglu")
  residual: Residual = Residual()

  def __call__(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    return self.with_stream(x, state, reset, deterministic)[:2]

  @nn.compact
  def with_stream(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
    stream: Activations | None = None,
  ) -> tuple[Activations, State, Activations | None]:
    """Runs the block with the side stream of a stack; see `Stack`.

    Args:
      x: the input.
      state: see `init_state`.
      reset: where documents begin.
      deterministic: False applies dropout.
      stream: what earlier layers gave; None where the stack has no side stream.

    Returns:
      The output, the state after the last token, and the stream.
    """
    drop, residual = Dropout(self.dropout, deterministic=deterministic), self.residual

    def norm(name, x):
      return residual.norm.make(name, self.dtype)(x)

    block_input, states = x, []  # [B, T, D]
    for name, old in zip(self._entries, self._split(state), strict=True):
      y = block_input if residual.parallel else x  # [B, T, D]
      if residual.position != "post":
        y = norm(f"{name}_norm", y)
      layer = self._layer(name, name=name)
      if (name, residual.position) == ("mlp", "post"):
        nn.share_scope(self, layer)  # checkpoints have "up" beside "mixer", not below
      y, new, stream = _call(layer, y, old, reset, stream)  # [B, T, D]
      if residual.position == "sandwich":
        y = norm(f"{name}_out_norm", y)
      y = drop(y)
      # a scale of 1 adds no multiplication to the program
      x = x + (y if residual.scale == 1 else y * residual.scale)
      if residual.position == "post":
        x = norm(f"{name}_norm", x)
      states.append(new)
    return x, self._joined(states), stream

  @property
  def _entries(self) -> dict[str, Entry]:
    return layers(self.block, self.mlp)

  def _layer(self, layer: str, **fields: Any) -> nn.Module:
    """Makes the layer of that name, with Flax's own fields: `name` or `parent`."""
    entry = self._entries[layer]
    return mixer(entry, self.d_model, self.dtype, self.d_ff, **fields)

  def _unbound(self) -> list[nn.Module]:
    # outside of a parent: these answer for states and axes without a scope
    return [self._layer(name, parent=None) for name in self._entries]

  def streams(self) -> list[tuple[str, bool]]:
    """Returns the layers that use the side stream, and whether each reads it.

    Raises:
      ValueError: if a layer inside a wrapper would read it.
    """
    entries = self._entries.values()
    for part in walk(tuple(part for entry in entries for part in entry.parts)):
      if getattr(mixer(part, self.d_model, self.dtype, parent=None), STREAM, False):
        raise ValueError(
          f"{str(part)!r} in a wrapper reads no other layer: name it alone"
        )
    pairs = zip(entries, self._unbound(), strict=True)
    streams = [(str(entry), getattr(layer, STREAM, None)) for entry, layer in pairs]
    return [(text, reads) for text, reads in streams if reads is not None]

  @property
  def _first_alone(self) -> bool:
    return all(layer.state_axes() == () for layer in self._unbound()[1:])

  def _split(self, state: State) -> tuple[State, ...]:
    """Returns the states of the layers, one each."""
    if not self._first_alone:
      return state
    return (state, *[()] * (len(self._entries) - 1)) if self._entries else ()

  def _joined(self, states: list[State]) -> State:
    """Undoes `_split`."""
    if not self._first_alone:
      return tuple(states)
    return states[0] if states else ()

  def init_state(self, batch_size: int) -> State:
    """Returns the empty state of a batch, rows first."""
    return self._joined([layer.init_state(batch_size) for layer in self._unbound()])

  def state_axes(self) -> State:
    """Returns the logical axis names of the state."""
    return self._joined([layer.state_axes() for layer in self._unbound()])


def _call(
  layer: nn.Module,
  x: Activations,
  state: State,
  reset: Reset | None,
  stream: Activations | None,
) -> tuple[Activations, State, Activations | None]:
  """Calls a layer, with the side stream where it can read it or give to it."""
  if stream is not None and hasattr(layer, "with_stream"):
    return layer.with_stream(x, state, reset, stream)
  return *layer(x, state, reset), stream
