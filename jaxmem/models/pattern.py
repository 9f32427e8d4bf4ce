"""Models are described by data: a pattern is a tuple of blocks, a block of layers.

    pattern = (entry("rglru"), entry("window", window_size=1024))
    parse("rglru,window:window_size=1024") == pattern

The grammar of the text, in which spaces around a sign mean nothing:

    pattern = block , block , ...
    block   = entry                      with the model's default MLP
            | entry / mlp                with this one
            | entry / none               with none
    entry   = name:option=value:...      a file of `jaxmem.mixers`, or an MLP
            | wrapper(entry, ..., option=value, ...)    one of `jaxmem.models.wrappers`
    value   = a literal of Python, else a word

So `sum(window:window_size=64,gated_delta)` is a memory beside a window,
`bidirectional(gru)` one for an encoder, `learned_init(lstm)` begins from parameters;
wrappers nest. In Python a wrapper is an entry too, `entry("sum", a, b)`, and
`block(a, mlp)` is a block.

Three older forms are read and never written: `a+b` is `sum(a,b)` (so is the option
`beside`), `both_ways=True` is `bidirectional(...)` and `learned_start=True` is
`learned_init(...)`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxmem import mixers
from jaxmem.models import grammar, wrappers
from jaxmem.models.entries import (
  PatternError,
  block,
  checked_entry,
  entry,
  layer_class,
  mlp_entry,
  mlps,
  options,
)
from jaxmem.models.grammar import Block, Entry, Pattern, show, split

__all__ = [
  "Block", "Entry", "Pattern", "PatternError", "block", "both_ways", "built",
  "check_causal", "check_language", "check_own", "edit", "edit_blocks", "entry",
  "is_given", "memory_of", "mixer", "mlp_entry", "mlps", "options", "parse",
  "replace_recurrent", "set_options", "show", "split", "state_bytes", "walk",
  "with_memory",
]  # fmt: skip


def parse(text: str) -> Pattern:
  """A pattern from its text: `rglru,rglru,window:window_size=1024`.

  Raises:
    PatternError: if it cannot be read, or names what is not there.
  """
  try:
    return tuple(map(_checked, grammar.read(text)))
  except ValueError as error:
    raise PatternError(str(error)) from error
  except RecursionError as error:
    raise PatternError("the pattern is nested too deeply") from error


def _checked(item: Entry | Block) -> Entry | Block:
  """What was read, with names and options checked and older forms rewritten."""
  if isinstance(item, Entry):
    return checked_entry(item, "a memory")
  if len(item.layers) > 2:
    block(*item.layers[:2])  # a misspelt name is said first
    raise PatternError(f"{str(item)!r} has more layers than memory/mlp")
  return block(*item.layers)


def walk(pattern: Pattern) -> Iterator[Entry]:
  """The mixers of a pattern, left to right, those inside of wrappers too."""
  for item in _layers(pattern):
    if item.name in mixers.names():
      yield item


def _layers(pattern: Pattern) -> Iterator[Entry]:
  """Every entry of a pattern; a wrapper stands before its parts."""
  for item in pattern:
    for layer in item.layers if isinstance(item, Block) else (item,):
      yield layer
      yield from _layers(layer.parts)


def edit(pattern: Pattern, change: Callable[[Entry], Entry]) -> Pattern:
  """The pattern with every mixer changed, those that wrappers are around too."""

  def one(item: Entry) -> Entry:
    if item.parts:
      return dataclasses.replace(item, parts=tuple(map(one, item.parts)))
    return change(item) if item.name in mixers.names() else item

  return edit_blocks(pattern, one)


def edit_blocks(pattern: Pattern, change: Callable[[Entry], Entry]) -> Pattern:
  """The pattern with the memory of every block changed, a wrapper as a whole."""

  def one(item: Entry | Block) -> Entry | Block:
    if isinstance(item, Block):
      return Block((change(item.layers[0]), *item.layers[1:]))
    return change(item)

  return tuple(map(one, pattern))


def memory_of(item: Entry | Block) -> Entry:
  """The entry of a block's memory: a mixer, or a wrapper."""
  return item.layers[0] if isinstance(item, Block) else item


def mixer(
  item: Entry | Block, d_model: int, dtype: str, d_ff: int | None = None, **fields: Any
) -> nn.Module:
  """The layer of an entry, or that of a block's memory.

  Args:
    item: the entry.
    d_model: features of the model.
    dtype: of its computation.
    d_ff: width of the MLPs that do not say their own; None is 4 d_model.
    fields: Flax's own, `name` or `parent`.
  """
  item = memory_of(item)
  values = dict(item.options) | fields
  if item.parts:
    parts = (mixer(part, d_model, dtype, d_ff, parent=None) for part in item.parts)
    return wrappers.build(item.name, tuple(parts), **values)
  if item.name in mlps():
    values = {"d_ff": d_ff or 4 * d_model} | values
  return layer_class(item.name)(**{"d_model": d_model, "dtype": dtype} | values)


def built(
  item: Entry | Block, d_model: int, dtype: str, written: Entry | None = None
) -> nn.Module:
  """The mixer of an entry, unbound, which is known to read two tokens.

  Nothing is computed: its options are tried on shapes alone.

  Args:
    item: the entry.
    d_model: features of the model.
    dtype: of its computation.
    written: the entry as the user wrote it, for the message; None is `item`.

  Raises:
    PatternError: if its options do not fit one another or `d_model`; says why.
  """

  def run(layer):
    state = layer.init_state(1)
    return layer.init(jax.random.key(0), jnp.zeros((1, 2, d_model), dtype), state)

  try:
    layer = mixer(item, d_model, dtype, parent=None)
    jax.eval_shape(lambda: run(layer))
  except (ValueError, TypeError, ZeroDivisionError) as error:
    message = str(error).strip().splitlines()[0]
    raise PatternError(
      f"memory {str(written or item)!r} cannot be built: {message}"
    ) from error
  return layer


def check_language(pattern: Pattern) -> None:
  """Raises PatternError unless a language model can be made of the memories."""
  check_causal(pattern)
  check_own(pattern)


def check_causal(pattern: Pattern) -> None:
  """Raises PatternError if a memory sees what is to be predicted."""
  for item in _layers(pattern):
    if not _is_causal(item):
      raise PatternError(
        f"{str(item)!r} reads both ways: a language model must not see what it is to "
        "predict; take a causal memory, or an encoder"
      )


def _is_causal(item: Entry) -> bool:
  """Whether the layer itself lets no token be read by earlier ones."""
  own = getattr(layer_class(item.name), "causal", True)
  return dict(item.options).get("causal", own) is not False


def both_ways(pattern: Pattern) -> Pattern:
  """The pattern for an encoder: what is causal is run forwards and backwards.

  Of a wrapper around several parts each part for itself: a sum becomes the sum of what
  reads both ways.
  """
  return edit_blocks(pattern, _both_ways)


def _both_ways(item: Entry) -> Entry:
  if len(item.parts) > 1:
    return dataclasses.replace(item, parts=tuple(map(_both_ways, item.parts)))
  causal = all(map(_is_causal, _layers((item,))))
  return entry("bidirectional", item) if causal and item.name not in mlps() else item


def check_own(pattern: Pattern) -> None:
  """Raises PatternError if a memory is given by an encoder, where there is none."""
  for item in walk(pattern):
    if is_given(item):
      raise PatternError(
        f"{str(item)!r} reads what an encoder remembers, and nothing remembers for it "
        "here: it would read nothing"
      )


def is_given(item: Entry) -> bool:
  """Whether the memory of an entry is what an encoder remembers."""
  return mixers.is_given(layer_class(item.name))


def with_memory(pattern: Pattern, size: int) -> Pattern:
  """The pattern whose given memories hold so many tokens of the encoder."""
  hold = lambda item: set_options(item, memory_size=size) if is_given(item) else item
  return edit(pattern, hold)


def set_options(item: Entry, **values: Any) -> Entry:
  """The entry with other values of some options."""
  return entry(item.name, *item.parts, **dict(item.options) | values)


def replace_recurrent(pattern: Pattern, name: str) -> Pattern:
  """The pattern with every memory but the attention ones replaced by `name`."""
  new = entry(name)
  keep = lambda item: mixers.get(item.name).Mixer.family == "attention"
  return edit(pattern, lambda item: item if keep(item) else new)


def state_bytes(mixer: nn.Module) -> int:
  """Bytes that a mixer keeps of a row; nothing is computed."""
  state = jax.eval_shape(lambda: mixer.init_state(1))
  return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state))
