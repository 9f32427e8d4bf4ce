"""Entries of a pattern: their names are looked up, and their options checked."""

import dataclasses
import functools
import typing
from typing import Any

from flax import linen as nn

from jaxmem import mixers
from jaxmem.core import registry
from jaxmem.core.errors import UserError, raised_as, shown
from jaxmem.core.registry import nearest
from jaxmem.models import grammar, wrappers
from jaxmem.models.grammar import Block, Entry
from jaxmem.models.option_types import checked

# What the model says for all its layers, and Flax's own fields.
_GIVEN = ("d_model", "dtype", "change_op", "parent", "name")
# Older options of a memory -> the wrapper each stands for, the innermost first.
_OLD = {"learned_start": "learned_init", "both_ways": "bidirectional"}


class PatternError(UserError):
  """A pattern names a layer or an option that is not there."""


def mlps() -> dict[str, type[nn.Module]]:
  """The MLPs by file name."""
  found = registry.members("jaxmem.layers.mlps", "MLP")
  return {name: module.MLP for name, module in found.items()}


def layer_class(name: str) -> type[nn.Module]:
  """The class of a mixer, a wrapper or an MLP.

  Raises:
    PatternError: if there is none of this name; names the nearest.
  """
  if name in wrappers.names():
    return wrappers.get(name)
  if name in mlps():
    return mlps()[name]
  try:
    return mixers.get(name).Mixer  # a plugin too
  except KeyError as error:
    near = nearest(name, [*mixers.names(), *wrappers.names(), *mlps()])
    message = f"no memory {name!r}: {near}" if "did you" in near else error.args[0]
    raise PatternError(message) from error


def options(name: str) -> list[str]:
  """What an entry of the layer `name` can be given."""
  held = wrappers.parts(name) if name in wrappers.names() else []
  fields = [f.name for f in dataclasses.fields(layer_class(name))]
  return [key for key in fields if key not in (*_GIVEN, *held)]


def entry(name: str, /, *parts: Entry | str, **given: Any) -> Entry:
  """The layer `name` with options, around its parts if it is a wrapper.

      entry("window", window_size=1024)
      entry("sum", entry("window"), entry("gru"))

  Args:
    name: a file of `jaxmem.mixers`, of `jaxmem.models.wrappers`, or an MLP; `jaxmem
      memories` lists the mixers.
    parts: entries, or their text.
    given: fields of the layer's class, except those that the model gives. A memory may
      be given the older `learned_start`, `both_ways` and `beside`, for wrappers.

  Raises:
    PatternError: if there is no such layer or option, and names the nearest; if a value
      has another type than the option, or is a number that no device has; or if a
      wrapper takes another number of parts.
  """
  if not isinstance(name, str):
    raise PatternError(f"{shown(name)} is no memory: its name expected, such as 'gru'")
  layer_class(name)
  with raised_as(PatternError):
    items = tuple(checked_entry(part, f"a part of {name}") for part in parts)
    if name in wrappers.names():
      wrappers.check_parts(name, len(items))
    elif items:
      raise ValueError(f"{name} is no wrapper: {str(items[0])!r} cannot be its part")
    old = _old_options(name, given)
    kind = "wrapper" if name in wrappers.names() else "memory"
    registry.check_options(given, options(name), f"{kind} {name!r}")
    types = _types(name)
    values = {k: checked(v, types.get(k), f"{k} of {name}") for k, v in given.items()}
  return _wrapped(Entry(name, tuple(sorted(values.items())), items), old)


def checked_entry(value: Any, what: str) -> Entry:
  """An entry, or the one that a text spells, with its names checked."""
  value = checked(value, str | Entry, what)
  item = grammar.read_entry(value) if isinstance(value, str) else value
  return entry(item.name, *item.parts, **dict(item.options))


def _old_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
  """Takes the older options out of what a memory is given."""
  if name not in mixers.names():
    return {}
  old = {key: given.pop(key) for key in (*_OLD, "beside") if key in given}
  for key in _OLD.keys() & old.keys():
    checked(old[key], bool, f"{key} of {name}")
  if "beside" in old:
    old["beside"] = checked_entry(old["beside"], f"beside of {name}")
  return old


def _wrapped(item: Entry, old: dict[str, Any]) -> Entry:
  """The entry in the wrappers that its older options stand for."""
  for key, wrapper in _OLD.items():
    item = entry(wrapper, item) if old.get(key) else item
  return entry("sum", item, old["beside"]) if "beside" in old else item


@functools.cache
def _types(name: str) -> dict[str, Any]:
  """Option of the layer `name` -> its type."""
  return typing.get_type_hints(layer_class(name))


def block(mixer: Entry | str, mlp: Entry | str | None = None) -> Block:
  """A block of a memory and of this MLP, or of none.

  Raises:
    PatternError: as `entry`; or if one stands in the place of the other.
  """
  with raised_as(PatternError):
    first = checked_entry(mixer, "the memory of a block")
    if first.name in mlps():
      raise PatternError(f"{str(first)!r} is an MLP: write it behind a memory, gru/mlp")
  if mlp is None:
    return Block((first,))
  return Block((first, mlp_entry(mlp)))


def mlp_entry(mlp: Entry | str) -> Entry:
  """The entry of an MLP, `gelu:approximate=True` say.

  Raises:
    PatternError: if there is no such MLP or option; names the nearest.
  """
  with raised_as(PatternError):
    item = grammar.read_entry(mlp) if isinstance(mlp, str) else mlp
    if item.name not in mlps():
      known = nearest(item.name, [*mlps(), grammar.NO_MLP])
      raise PatternError(f"no MLP {item.name!r}: {known}")
    return checked_entry(item, "the MLP of a block")
