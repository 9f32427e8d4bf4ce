"""Patterns describe models as data: a pattern is a tuple of blocks, a block of layers.

    pattern = (entry("rglru"), entry("window", window_size=1024))
    parse("rglru,window:window_size=1024") == pattern

The grammar of the text, in which spaces around a sign mean nothing:

    pattern = block , block , ...
    block   = entry                      with the model's default MLP
            | entry / mlp                with this MLP
            | entry / none               without an MLP
    entry   = name:option=value:...      a file of `jaxmem.mixers`, or an MLP
            | wrapper(entry, ..., option=value, ...)    one of `jaxmem.models.wrappers`
    value   = a literal of Python, else a word

So `sum(window:window_size=64,gated_delta)` adds a memory to a window,
`bidirectional(gru)` suits an encoder, and `learned_init(lstm)` begins from parameters;
wrappers nest. In Python `entry("sum", a, b)` makes a wrapper's entry, and
`block(a, mlp)` makes a block.

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
  """Reads a pattern from its text, such as `rglru,rglru,window:window_size=1024`.

  Raises:
    PatternError: if it cannot be read, or names a layer or an option that does not
      exist.
  """
  try:
    return tuple(map(_checked, grammar.read(text)))
  except ValueError as error:
    raise PatternError(str(error)) from error
  except RecursionError as error:
    raise PatternError("the pattern is nested too deeply") from error


def _checked(item: Entry | Block) -> Entry | Block:
  """Checks the names and options of what was read, and rewrites older forms."""
  if isinstance(item, Entry):
    return checked_entry(item, "a memory")
  if len(item.layers) > 2:
    block(*item.layers[:2])  # a misspelt name is reported before the count of layers
    raise PatternError(f"{str(item)!r} has more layers than memory/mlp")
  return block(*item.layers)


def walk(pattern: Pattern) -> Iterator[Entry]:
  """Yields the mixers of a pattern, left to right, those inside of wrappers too."""
  for item in _layers(pattern):
    if item.name in mixers.names():
      yield item


def _layers(pattern: Pattern) -> Iterator[Entry]:
  """Yields all entries of a pattern; a wrapper comes before its parts."""
  for item in pattern:
    for layer in item.layers if isinstance(item, Block) else (item,):
      yield layer
      yield from _layers(layer.parts)


def edit(pattern: Pattern, change: Callable[[Entry], Entry]) -> Pattern:
  """Changes every mixer of a pattern, those inside of wrappers too.

  Args:
    pattern: the pattern.
    change: `entry -> entry`.
  """

  def change_mixers(item: Entry) -> Entry:
    if item.parts:
      return dataclasses.replace(item, parts=tuple(map(change_mixers, item.parts)))
    return change(item) if item.name in mixers.names() else item

  return edit_blocks(pattern, change_mixers)


def edit_blocks(pattern: Pattern, change: Callable[[Entry], Entry]) -> Pattern:
  """Changes the memory of every block of a pattern, a wrapper as a whole.

  Args:
    pattern: the pattern.
    change: `entry -> entry`.
  """

  def change_block(item: Entry | Block) -> Entry | Block:
    if isinstance(item, Block):
      return Block((change(item.layers[0]), *item.layers[1:]))
    return change(item)

  return tuple(map(change_block, pattern))


def memory_of(item: Entry | Block) -> Entry:
  """Returns the entry of a block's memory: a mixer, or a wrapper."""
  return item.layers[0] if isinstance(item, Block) else item


def mixer(
  item: Entry | Block, d_model: int, dtype: str, d_ff: int | None = None, **fields: Any
) -> nn.Module:
  """Makes the layer of an entry, or that of a block's memory.

  Args:
    item: the entry, or the block.
    d_model: D, the number of features.
    dtype: the dtype of the computation.
    d_ff: width of the MLPs that set none themselves; None is 4 d_model.
    **fields: Flax's own fields, `name` or `parent`.
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
  """Makes the mixer of an entry, unbound, after a trial on two tokens.

  The trial traces shapes and computes nothing.

  Args:
    item: the entry.
    d_model: D, the number of features.
    dtype: the dtype of the computation.
    written: the entry as the user wrote it, for the message; None is `item`.

  Raises:
    PatternError: if the options do not fit one another or `d_model`; says why.
  """

  def init(layer):
    state = layer.init_state(1)
    return layer.init(jax.random.key(0), jnp.zeros((1, 2, d_model), dtype), state)

  try:
    layer = mixer(item, d_model, dtype, parent=None)
    jax.eval_shape(lambda: init(layer))
  except (ValueError, TypeError, ZeroDivisionError) as error:
    message = str(error).strip().splitlines()[0]  # Flax appends paragraphs of advice
    raise PatternError(
      f"memory {str(written or item)!r} cannot be built: {message}"
    ) from error
  return layer


def check_language(pattern: Pattern) -> None:
  """Raises PatternError unless a language model can have these memories."""
  check_causal(pattern)
  check_own(pattern)


def check_causal(pattern: Pattern) -> None:
  """Raises PatternError if a memory sees tokens that are to be predicted."""
  for item in _layers(pattern):
    if not _is_causal(item):
      raise PatternError(
        f"{str(item)!r} reads both ways: a language model must not see what it is to "
        "predict; take a causal memory, or an encoder"
      )


def _is_causal(item: Entry) -> bool:
  """Returns whether the layer itself, apart from its parts, is causal."""
  default = getattr(layer_class(item.name), "causal", True)
  # a mixer may have an option `causal`; in others it is a property or a class variable
  return dict(item.options).get("causal", default) is not False


def both_ways(pattern: Pattern) -> Pattern:
  """Returns the pattern for an encoder: causal memories are run in both directions.

  In a wrapper around several parts each part is made bidirectional by itself: a sum
  becomes a sum of bidirectional parts.
  """
  return edit_blocks(pattern, _both_ways)


def _both_ways(item: Entry) -> Entry:
  if len(item.parts) > 1:
    return dataclasses.replace(item, parts=tuple(map(_both_ways, item.parts)))
  # an MLP reads no other token, so it needs no second direction
  causal = all(map(_is_causal, _layers((item,))))
  return entry("bidirectional", item) if causal and item.name not in mlps() else item


def check_own(pattern: Pattern) -> None:
  """Raises PatternError if a memory needs an encoder, in a model that has none."""
  for item in walk(pattern):
    if is_given(item):
      raise PatternError(
        f"{str(item)!r} reads what an encoder remembers, and nothing remembers for it "
        "here: it would read nothing"
      )


def is_given(item: Entry) -> bool:
  """Returns whether the memory of an entry is what an encoder remembers."""
  return mixers.is_given(layer_class(item.name))


def with_memory(pattern: Pattern, size: int) -> Pattern:
  """Sets how many tokens the memories hold that an encoder gives.

  Args:
    pattern: the pattern of a decoder.
    size: how many tokens.
  """
  return edit(
    pattern,
    lambda item: set_options(item, memory_size=size) if is_given(item) else item,
  )


def set_options(item: Entry, **values: Any) -> Entry:
  """Returns the entry with other values of some options."""
  return entry(item.name, *item.parts, **dict(item.options) | values)


def replace_recurrent(pattern: Pattern, name: str) -> Pattern:
  """Replaces every memory of a pattern that is no attention.

  Args:
    pattern: the pattern.
    name: the mixer that replaces them.
  """
  new = entry(name)

  def replace(item: Entry) -> Entry:
    return item if mixers.get(item.name).Mixer.family == "attention" else new

  return edit(pattern, replace)


def state_bytes(mixer: nn.Module) -> int:
  """Counts the bytes of a mixer's state of one row; computes nothing."""
  state = jax.eval_shape(lambda: mixer.init_state(1))
  return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state))
