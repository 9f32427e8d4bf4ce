"""Families of pretrained models: one file each, of declarative rules.

A family's file has `FAMILY`, a `Family`. It is found by the `model_type` of the
settings of a model. The tensors of a folder become parameters by its rules: those
around the layers, and those of a layer, which are the same for all layers of an entry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxmem.core import registry
from jaxmem.core.errors import DataError
from jaxmem.interop.layouts import Rule
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Block, Entry, Pattern

Item = Entry | Block  # of a pattern


class Place(NamedTuple):
  """Where the parameters of a layer lie.

  Attributes:
    number: of the layer, which stands for "{}" in the names of its tensors.
    block: the path of its block in the parameters.
    row: its row in the stacked arrays of a group; None where nothing is stacked.
    entry: its entry in the pattern.
  """

  number: int
  block: str
  row: int | None
  entry: Item


def places(config: Any, stack: str = "stack") -> Iterator[Place]:
  """Yields the place of each layer of a stack, in the order of the layers.

  Args:
    config: of a model, with `pattern` and `num_groups`, and perhaps `first` and `last`.
    stack: the name of the stack in the parameters.
  """
  blocks: list[tuple[str, int | None, Item]] = []
  for i, entry in enumerate(getattr(config, "first", ())):
    blocks.append((f"{stack}/first/block_{i}", None, entry))
  for group in range(config.num_groups):
    for i, entry in enumerate(config.pattern):
      blocks.append((f"{stack}/groups/block_{i}", group, entry))
  for i, entry in enumerate(getattr(config, "last", ())):
    blocks.append((f"{stack}/last/block_{i}", None, entry))
  for number, block in enumerate(blocks):
    yield Place(number, *block)


class Head(NamedTuple):
  """Tensors that a folder may have beside those of the model itself.

  Attributes:
    suffix: ends the name of the class of transformers that has it, "ForMaskedLM".
    rules: a config and a number of outputs -> the tensors.
    counted: the tensor whose length is the number of outputs; empty where the config
      says it.
    without: paths of parameters that are not read beside this head.
  """

  suffix: str
  rules: Callable[[Any, int], list[Rule]]
  counted: str = ""
  without: tuple[str, ...] = ()


class Family(NamedTuple):
  """Models that share their settings, and the names of their tensors.

  Attributes:
    model_types: the settings' `model_type` -> the class of transformers that reads it.
    to_config: the settings -> the config of a model, which `models.make` makes.
    to_settings: a config and a model type -> the settings; raises DataError if the
      model is none of the family.
    outer_rules: the tensors around the layers.
    layer_rules: the tensors of a layer, whose entry in the pattern is given.
    places: where the layers of a config lie; see `places`.
    prefix: begins the names of all tensors but those of a head. A folder that was
      saved without a head leaves it out.
    derived: ends of names of tensors that the settings decide; they are not read.
    left_out: beginnings of names of tensors that no text is read with, such as those of
      further heads; they are not read either.
    config_class: of the configs of its models.
    heads: that a folder may have; see `interop.heads`.
    older: the end of a tensor's name -> the one that older files have.
  """

  model_types: Mapping[str, str]
  to_config: Callable[["Settings"], Any]
  to_settings: Callable[[Any, str], dict[str, Any]]
  outer_rules: Callable[[Any], list[Rule]]
  layer_rules: Callable[[Any, Any], list[Rule]]
  places: Callable[[Any], Iterable[Place]] = places
  prefix: str = ""
  derived: tuple[str, ...] = ("rotary_emb.inv_freq",)
  config_class: type = LMConfig
  heads: tuple[Head, ...] = ()
  older: Mapping[str, str] = {}
  left_out: tuple[str, ...] = ()


# Settings that say how many experts a layer has.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


class Settings(Mapping):
  """The settings of a model: those that a family reads, and what the others must be."""

  def __init__(self, values: Mapping[str, Any], name: str):
    """Wraps the settings.

    Args:
      values: what `config.json` holds.
      name: names the file in messages.
    """
    self._values, self._name = values, name

  def __getitem__(self, key: str) -> Any:
    if self._values.get(key) is None:
      raise DataError(f"{self._name} has no {key}")
    return self._values[key]

  def __iter__(self) -> Any:
    return iter(self._values)

  def __len__(self) -> int:
    return len(self._values)

  def get(self, key: str, default: Any = None) -> Any:
    """Returns a value, or the default where it is missing or null."""
    value = self._values.get(key)
    return default if value is None else value

  def replaced(self, **values: Any) -> "Settings":
    """Returns the settings with other values of some keys."""
    return Settings(dict(self._values) | values, self._name)

  def require(self, **values: Any) -> None:
    """Raises DataError unless each key is missing, null, or has the value."""
    for key, value in values.items():
      if self.get(key, value) != value:
        raise DataError(
          f"{self._name} has {key} {self._values[key]!r}: only {value!r} can be read"
        )


def families() -> dict[str, Family]:
  """Maps each model type to its family."""
  modules = registry.members("jaxmem.interop.families", "FAMILY").values()
  return {kind: m.FAMILY for m in modules for kind in m.FAMILY.model_types}


def family_of(settings: Mapping[str, Any], name: str) -> tuple[str, Family]:
  """Returns the model type of settings, and its family.

  Args:
    settings: what `config.json` holds.
    name: names the file in messages.

  Raises:
    DataError: if no family has the model type; names the nearest.
  """
  kind, known = settings.get("model_type"), families()
  if kind not in known:
    if any(settings.get(key) for key in _EXPERTS):
      raise DataError(
        f"{name} is a {kind!r} with experts, which cannot be read: there is no layer "
        "of experts here"
      )
    if isinstance(text := settings.get("text_config"), Mapping):
      raise DataError(
        f"{name} is a {kind!r} of several kinds of input: its text model alone, a "
        f"{text.get('model_type')!r}, has to be saved as a folder of its own"
      )
    raise DataError(
      f"{name} is a model of type {kind!r}, which cannot be read: "
      f"{registry.nearest(str(kind), sorted(known))}"
    )
  return kind, known[kind]


def folded(entries: Sequence[Item]) -> tuple[Pattern, Pattern, int]:
  """Returns first layers, a pattern and how often it repeats, for a list of layers.

  Args:
    entries: the entry of each layer.
  """
  count = len(entries)
  best: tuple[Pattern, Pattern, int] = (), tuple(entries), 1
  for period in range(1, count + 1):
    start = count - period  # the last group begins here; earlier ones are equal
    while start >= period and _equal(entries, start - period, start, period):
      start -= period
    first, pattern = tuple(entries[:start]), tuple(entries[start : start + period])
    if len(first) + period < len(best[0]) + len(best[1]):
      best = first, pattern, (count - start) // period
  return best


def _equal(entries: Sequence[Item], a: int, b: int, length: int) -> bool:
  return list(entries[a : a + length]) == list(entries[b : b + length])
