"""Models are described by data: a pattern is a tuple of entries, an entry a memory.

pattern = (entry("rglru"), entry("window", window_size=1024))
parse("rglru,window:window_size=1024") == pattern

A memory beside another, `window:window_size=64+gated_delta`, is an option of the first.
"""

import dataclasses
import functools
import re
import types
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem import mixers
from jaxmem.core import ranges, registry
from jaxmem.core.errors import UserError, shown
from jaxmem.core.registry import nearest
from jaxmem.models.wrappers.bidirectional import Bidirectional
from jaxmem.models.wrappers.learned_init import LearnedStart
from jaxmem.models.wrappers.sum import Beside

# What the model says for all its mixers, and Flax's own fields.
_GIVEN = ("d_model", "dtype", "parent", "name")


@dataclasses.dataclass(frozen=True)
class Entry:
  """A memory by file name, and its options as sorted pairs: hashable, and JSON."""

  name: str
  options: tuple[tuple[str, Any], ...] = ()

  def __str__(self) -> str:
    given = dict(self.options)
    more = [given.pop("beside")] if "beside" in given else []
    own = ":".join([self.name, *(f"{k}={v}" for k, v in given.items())])
    return "+".join([own, *more])


@dataclasses.dataclass(frozen=True)
class Block:
  """All layers of a block: mixers of `jaxmem.mixers`, MLPs of `jaxmem.layers.mlps`."""

  layers: tuple[Entry, ...]

  def __str__(self) -> str:
    return "/".join(map(str, self.layers))


Pattern = tuple[Entry | Block, ...]


class PatternError(UserError):
  """A pattern names a memory or an option that is not there."""


def options(name: str) -> list[str]:
  """What an entry of the memory `name` can be given."""
  fields = dataclasses.fields(mixers.get(name).Mixer)
  own = [f.name for f in fields if f.name not in _GIVEN]
  return [*own, "learned_start", "beside", "both_ways"]


def entry(name: str, /, **given: Any) -> Entry:
  """The memory `name` with options.

      entry("window", window_size=1024)

  Args:
    name: a file of `jaxmem.mixers`; `jaxmem memories` lists them.
    given: fields of its mixer, except d_model and dtype, which the model gives;
      learned_start, True for a memory that begins from parameters; both_ways, True for
      a causal memory run forwards and backwards, see `wrappers.bidirectional`; and
      beside, another entry or its text, a memory whose output is added, see
      `models.wrappers.sum`.

  Raises:
    PatternError: if there is no such memory or option, and names the nearest; or if a
      value has another type than the option, or is a number that no device has.
  """
  if not isinstance(name, str):
    raise PatternError(f"{shown(name)} is no memory: its name expected, such as 'gru'")
  if name not in mixers.names():
    raise PatternError(f"no memory {name!r}: {nearest(name, mixers.names())}")
  for key in given:
    if key not in options(name):
      raise PatternError(
        f"memory {name!r} has no option {key!r}: {nearest(key, options(name))}"
      )
  hints = _hints(name)
  for key, value in given.items():
    given[key] = _checked(value, hints.get(key), f"{key} of {name}")
  if "beside" in given:  # as text: an entry is hashable, and JSON
    given["beside"] = str(_parse_entry(str(given["beside"])))
  return Entry(name, tuple(sorted(given.items())))


@functools.cache
def _hints(name: str) -> dict[str, Any]:
  """Option of the memory `name` -> its type; `beside` is a text or an entry."""
  hints = typing.get_type_hints(mixers.get(name).Mixer)
  return hints | {"both_ways": bool, "learned_start": bool, "beside": str | Entry}


def _checked(value: Any, hint: Any, what: str) -> Any:
  """The value of an option, plain and hashable.

  Args:
    value: as the user gave it.
    hint: the type of the option.
    what: names the option.

  Raises:
    PatternError: if it is of another type, or a number that no device has.
  """
  value = value.item() if isinstance(value, np.generic) else value
  value = tuple(value) if isinstance(value, list) else value
  choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  if not any(_is_a(value, choice) for choice in choices):
    expected = " or ".join(_NAMES[choice] for choice in choices)
    raise PatternError(f"{what} is {shown(value)}: {expected} expected")
  try:
    for number in value if isinstance(value, tuple) else (value,):
      ranges.check_number(number, what)
  except ValueError as error:
    raise PatternError(str(error)) from error
  return float(value) if type(value) is int and float in choices else value


# How a message names the type of an option.
_NAMES = {
  int: "a whole number",
  float: "a number",
  bool: "True or False",
  str: "a word",
  types.NoneType: "None",
  tuple[int, ...]: "a tuple of whole numbers",
  Entry: "an entry",
}


def _is_a(value: Any, hint: Any) -> bool:
  """Whether a value has the type; True is no number, and 3 may stand for 3.0."""
  if hint == tuple[int, ...]:
    return type(value) is tuple and all(type(each) is int for each in value)
  return type(value) is hint or (hint is float and type(value) is int)


def terms(pattern: Pattern) -> Pattern:
  """The entries of a pattern, each sum taken apart."""
  found = []
  for item in pattern:
    if isinstance(item, Block):
      mixing = (layer for layer in item.layers if layer.name in mixers.names())
      found += terms(tuple(mixing))
      continue
    given = dict(item.options)
    more = given.pop("beside", None)
    found.append(Entry(item.name, tuple(given.items())))
    found += terms((_parse_entry(more),)) if more else ()
  return tuple(found)


def parse(text: str) -> Pattern:
  """A pattern from the command line: `rglru,rglru,window:window_size=1024+gru`.

  Raises:
    PatternError: if it cannot be read, or names what is not there.
  """
  return tuple(map(_parse_entry, split(text)))


def split(text: str) -> list[str]:
  """The texts of the entries; a comma in brackets is of a value."""
  return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


def _parse_entry(text: str) -> Entry:
  own, *more = re.split(r"\+(?=\s*[a-z_])", text, maxsplit=1)  # not that of 1e+5
  try:
    name, given = registry.options(own)
  except ValueError as error:
    raise PatternError(str(error)) from error
  beside = {"beside": more[0].strip()} if more else {}
  return entry(name, **beside | given)


def show(pattern: Pattern) -> str:
  """The text that `parse` reads."""
  return ",".join(map(str, pattern))


def mixer(item: Entry, d_model: int, dtype: str, **fields: Any) -> nn.Module:
  """The mixer of an entry.

  Args:
    item: the entry.
    d_model: features of the model.
    dtype: of its computation.
    fields: Flax's own, `name` or `parent`.
  """
  given = {"d_model": d_model, "dtype": dtype} | dict(item.options)
  if "beside" in given:
    parts = _parse_entry(given["beside"]), *terms((item,))[:1]
    memory, base = (mixer(part, d_model, dtype, parent=None) for part in parts)
    return Beside(base, memory, **fields)
  if given.pop("both_ways", False):
    return Bidirectional(
      mixer(Entry(item.name, tuple(given.items())), d_model, dtype, parent=None),
      **fields,
    )
  learned = given.pop("learned_start", False)
  cls = mixers.get(item.name).Mixer
  if learned:
    return LearnedStart(cls(**given, parent=None), **fields)
  return cls(**given, **fields)


def built(
  item: Entry, d_model: int, dtype: str, written: Entry | None = None
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
  for item in terms(pattern):
    if not _is_causal(item):
      raise PatternError(
        f"{str(item)!r} reads both ways: a language model must not see what it is to "
        "predict; take a causal memory, or an encoder"
      )


def _is_causal(item: Entry) -> bool:
  given = dict(item.options)
  own = getattr(mixers.get(item.name).Mixer, "causal", True)
  return given.get("causal", own) and not given.get("both_ways", False)


def both_ways(pattern: Pattern) -> Pattern:
  """The pattern for an encoder: what is causal is run forwards and backwards.

  Raises:
    PatternError: if an entry cannot be: a sum whose parts differ, say.
  """
  return tuple(map(_both_ways, pattern))


def _both_ways(item: Entry) -> Entry:
  causal = {_is_causal(part) for part in terms((item,))}
  if causal == {False}:
    return item
  if len(terms((item,))) > 1:
    raise PatternError(
      f"{str(item)!r} is a sum, which an encoder cannot run both ways: name the "
      "memories one after the other"
    )
  return Entry(
    item.name, tuple(sorted((dict(item.options) | {"both_ways": True}).items()))
  )


def check_own(pattern: Pattern) -> None:
  """Raises PatternError if a memory is given by an encoder, where there is none."""
  for item in terms(pattern):
    if mixers.is_given(mixers.get(item.name).Mixer):
      raise PatternError(
        f"{str(item)!r} reads what an encoder remembers, and nothing remembers for it "
        "here: it would read nothing"
      )


def with_memory(pattern: Pattern, size: int) -> Pattern:
  """The pattern whose given memories hold so many tokens of the encoder."""
  return tuple(
    Entry(
      item.name, tuple(sorted((dict(item.options) | {"memory_size": size}).items()))
    )
    if mixers.is_given(mixers.get(item.name).Mixer)
    else item
    for item in pattern
  )


def replace_recurrent(pattern: Pattern, name: str) -> Pattern:
  """The pattern with every memory but the attention ones replaced by `name`."""
  new = entry(name)
  keep = lambda item: mixers.get(item.name).Mixer.family == "attention"
  return tuple(item if keep(item) else new for item in pattern)


def state_bytes(mixer: nn.Module) -> int:
  """Bytes that a mixer keeps of a row; nothing is computed."""
  state = jax.eval_shape(lambda: mixer.init_state(1))
  return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state))
