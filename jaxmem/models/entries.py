"""Entries of a pattern: looks up their names and checks their options."""

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

# Fields that the model sets for all its layers, and Flax's own fields.
_SET_BY_MODEL = ("d_model", "dtype", "change_op", "parent", "name")
# Older options of a memory, and the wrapper that each stands for, the innermost first.
_OLD = {"learned_start": "learned_init", "both_ways": "bidirectional"}


class PatternError(UserError):
  """A pattern names a layer or an option that does not exist."""


def mlps() -> dict[str, type[nn.Module]]:
  """Returns the MLPs by file name."""
  modules = registry.members("jaxmem.layers.mlps", "MLP")
  return {name: module.MLP for name, module in modules.items()}


def layer_class(name: str) -> type[nn.Module]:
  """Returns the class of a mixer, a wrapper or an MLP.

  Raises:
    PatternError: if there is none of this name; names the nearest.
  """
  if name in wrappers.names():
    return wrappers.get(name)
  if name in mlps():
    return mlps()[name]
  try:
    return mixers.get(name).Mixer  # or a plugin's
  except KeyError as error:
    near = nearest(name, [*mixers.names(), *wrappers.names(), *mlps()])
    message = f"no memory {name!r}: {near}" if "did you" in near else error.args[0]
    raise PatternError(message) from error


def options(name: str) -> list[str]:
  """Returns the names of the options of the layer `name`."""
  parts = wrappers.parts(name) if name in wrappers.names() else []
  fields = [f.name for f in dataclasses.fields(layer_class(name))]
  return [key for key in fields if key not in (*_SET_BY_MODEL, *parts)]


def entry(name: str, /, *parts: Entry | str, **values: Any) -> Entry:
  """Makes the entry of the layer `name`, around its parts if it is a wrapper.

      entry("window", window_size=1024)
      entry("sum", entry("window"), entry("gru"))

  Args:
    name: a file of `jaxmem.mixers`, of `jaxmem.models.wrappers`, or an MLP; `jaxmem
      memories` lists the mixers.
    *parts: entries, or their text.
    **values: values of fields of the layer's class, except those that the model sets. A
      memory also takes the older `learned_start`, `both_ways` and `beside`, which stand
      for wrappers.

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
    old = _old_options(name, values)
    kind = "wrapper" if name in wrappers.names() else "memory"
    registry.check_options(values, options(name), f"{kind} {name!r}")
    types = _types(name)
    values = {k: checked(v, types.get(k), f"{k} of {name}") for k, v in values.items()}
  return _wrapped(Entry(name, tuple(sorted(values.items())), items), old)


def checked_entry(value: Any, label: str) -> Entry:
  """Returns an entry, or the one that a text spells, with its names checked.

  Args:
    value: an entry, or its text.
    label: what the entry is, for messages.

  Raises:
    PatternError: see `entry`.
  """
  value = checked(value, str | Entry, label)
  item = grammar.read_entry(value) if isinstance(value, str) else value
  return entry(item.name, *item.parts, **dict(item.options))


def _old_options(name: str, values: dict[str, Any]) -> dict[str, Any]:
  """Removes the older options from the values of a memory, and returns them."""
  if name not in mixers.names():
    return {}
  old = {key: values.pop(key) for key in (*_OLD, "beside") if key in values}
  for key in _OLD.keys() & old.keys():
    checked(old[key], bool, f"{key} of {name}")
  if "beside" in old:
    old["beside"] = checked_entry(old["beside"], f"beside of {name}")
  return old


def _wrapped(item: Entry, old: dict[str, Any]) -> Entry:
  """Puts the entry into the wrappers that its older options stand for."""
  for key, wrapper in _OLD.items():
    item = entry(wrapper, item) if old.get(key) else item
  return entry("sum", item, old["beside"]) if "beside" in old else item


@functools.cache
def _types(name: str) -> dict[str, Any]:
  """Returns the types of the options of the layer `name`."""
  return typing.get_type_hints(layer_class(name))


def block(mixer: Entry | str, mlp: Entry | str | None = None) -> Block:
  """Makes a block of a memory and an MLP, or of a memory alone.

  Args:
    mixer: the entry of the memory, or its text.
    mlp: the entry of the MLP, or its text; None adds none.

  Raises:
    PatternError: see `entry`; or if an MLP and a memory are exchanged.
  """
  with raised_as(PatternError):
    first = checked_entry(mixer, "the memory of a block")
    if first.name in mlps():
      raise PatternError(f"{str(first)!r} is an MLP: write it behind a memory, gru/mlp")
  if mlp is None:
    return Block((first,))
  return Block((first, mlp_entry(mlp)))


def mlp_entry(mlp: Entry | str) -> Entry:
  """Makes the entry of an MLP, such as `gelu:approximate=True`.

  Raises:
    PatternError: if there is no such MLP or option; names the nearest.
  """
  with raised_as(PatternError):
    item = grammar.read_entry(mlp) if isinstance(mlp, str) else mlp
    if item.name not in mlps():
      hint = nearest(item.name, [*mlps(), grammar.NO_MLP])
      raise PatternError(f"no MLP {item.name!r}: {hint}")
    return checked_entry(item, "the MLP of a block")
