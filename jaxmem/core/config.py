"""A tree of dataclasses as JSON: every value is checked against the type of its field.

    codec = Codec(Config, kinds={ModelConfig: Choice(MODELS, "a model's")})
    codec.from_json(codec.to_json(config)) == config

A field may hold one of several dataclasses. Such a field is annotated with a Protocol,
and JSON has the registered name of the dataclass under the key "kind".
"""

import dataclasses
import functools
import json
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxmem.core.errors import ConfigError, UserError, reason, shown
from jaxmem.core.ranges import check_word
from jaxmem.core.registry import nearest


@runtime_checkable
class Kinds(Protocol):
  """The dataclasses that a field may hold, by name; see `core.kinds.Group`."""

  def get(self, name: str) -> ModuleType:
    """The module whose `Config` is the dataclass; KeyError if there is none."""
    ...

  def name_of(self, config: type) -> str:
    """The name of a dataclass; KeyError if it has none."""
    ...


class Choice(NamedTuple):
  """What a field annotated with a Protocol may hold.

  Attributes:
    kinds: the dataclasses by name.
    expected: names them in a message, such as "LMConfig or another model's".
  """

  kinds: Kinds
  expected: str


class Text(NamedTuple):
  """A value that JSON has as text.

  Attributes:
    parse: text to value; raises UserError.
    show: value to text, whatever the user gave; what has no text is returned as it is.
    empty: the value of the empty text.
    expected: names such values in a message.
  """

  parse: Callable[[str], Any]
  show: Callable[[Any], Any]
  empty: Any
  expected: str


class Codec:
  """Reads and writes configs of one class."""

  def __init__(
    self,
    cls: type,
    kinds: Mapping[Any, Choice] | None = None,
    texts: Mapping[Any, Text] | None = None,
    migrate: Callable[[Any], Any] = lambda data: data,
  ):
    """Args:
    cls: the dataclass of the whole config.
    kinds: annotation of a field -> the dataclasses that it may hold.
    texts: annotation of a field -> how its values are written.
    migrate: what an older version wrote -> the same in keys of this one.
    """
    self._cls, self._kinds, self._texts = cls, kinds or {}, texts or {}
    self._migrate = migrate

  def to_json(self, config: Any) -> str:
    """Returns a config as readable JSON.

    Args:
      config: of the class that the codec is for.

    Raises:
      ConfigError: if the config holds a dataclass that no kind is.
    """
    return json.dumps(self._plain(config, self._cls, ""), indent=2)

  def from_json(self, text: str) -> Any:
    """Returns the config that `to_json` has written, by this version or an older one.

    Args:
      text: the JSON.

    Raises:
      ConfigError: for an unknown key (names the nearest), an unknown kind, or a value
        of another type.
    """
    try:
      data = json.loads(text)
    except (ValueError, RecursionError) as error:
      raise ConfigError(f"the config is not JSON: {reason(error)}") from error
    return self._build(self._cls, self._migrate(data), "")

  def typed(self, config: Any) -> Any:
    """Returns the config with every value of the type that its field has.

    What means the same is converted: text for a pattern, a path for a string, an
    integer where a number may have a fraction, a scalar of NumPy.

    Args:
      config: of the class that the codec is for, made by a user.

    Raises:
      ConfigError: if a value has another type; names the key.
    """
    # the parts first: about one of a wrong class, a message on its keys would mislead
    for name, hint in _hints(type(config)).items():
      value = getattr(config, name)
      choice = self._kinds.get(hint)
      if not choice and not dataclasses.is_dataclass(hint):
        continue
      if not (_is_config(value) and isinstance(value, hint)):
        expected = choice.expected if choice else hint.__name__
        raise ConfigError(f"{name} is {shown(value)}: {expected} config expected")
    # JSON's values are the common form of all spellings: what it reads back is typed
    plain = self._plain(config, self._cls, "")
    return self._build(type(config), self._migrate(plain), "")

  def with_values(self, config: Any, values: Mapping[str, Any]) -> Any:
    """Returns the config with other values.

    Args:
      config: to start from.
      values: dotted key -> value.

    Raises:
      ConfigError: if the config has no such key, or a value is of another type.
    """
    plain, keys = self._plain(config, self._cls, ""), list(flatten(config))
    for key, value in values.items():
      if key not in keys:
        raise ConfigError(f"{key} is nothing that this run has: {nearest(key, keys)}")
      *parents, last = key.split(".")
      node = plain
      for parent in parents:
        node = node[parent]
      node[last] = value
    return self._build(type(config), plain, "")

  def _plain(self, value: Any, hint: Any, key: str) -> Any:
    """The value in dictionaries, numbers and text."""
    if hint in self._texts:  # first: what has a text is not taken apart into fields
      return self._texts[hint].show(value)
    if not _is_config(value):
      return value
    plain = {}
    if hint in self._kinds:  # always saved: a default that changes must not change runs
      plain["kind"] = self._kind(value, hint, key)
    hints = _hints(type(value))
    for field in dataclasses.fields(value):
      path = f"{key}.{field.name}".lstrip(".")
      plain[field.name] = self._plain(
        getattr(value, field.name), hints[field.name], path
      )
    return plain

  def _kind(self, value: Any, hint: Any, key: str) -> str:
    try:
      return self._kinds[hint].kinds.name_of(type(value))
    except KeyError as error:
      raise ConfigError(f"{key}: {error.args[0]}") from error

  def _build(self, cls: type, data: Any, prefix: str) -> Any:
    what = prefix.rstrip(".") or "the config"
    if not isinstance(data, dict):
      raise ConfigError(f"{what} is {shown(data)}: keys and values expected")
    hints = _hints(cls)
    fields = {}
    for key, value in data.items():
      if key not in hints:
        hint = nearest(key, list(hints))
        raise ConfigError(f"no key {prefix + key!r} in the config: {hint}")
      fields[key] = self._convert(hints[key], value, prefix + key)
    try:
      return cls(**fields)
    except TypeError as error:  # unknown keys were refused: a field has no default
      raise ConfigError(f"{what}: {error}") from error

  def _convert(self, hint: Any, value: Any, key: str) -> Any:
    if hint in self._kinds:
      hint, value = self._chosen(self._kinds[hint].kinds, value, key)
    if dataclasses.is_dataclass(hint):
      return self._build(hint, value, key + ".")
    if hint in self._texts:
      return _from_text(self._texts[hint], value, key)
    if typing.get_origin(hint) is typing.Literal:
      try:
        check_word(value, key, typing.get_args(hint))
      except ValueError as error:
        raise ConfigError(str(error)) from error
      return value
    return _scalar(hint, value, key)

  def _chosen(self, kinds: Kinds, value: Any, key: str) -> tuple[type, Any]:
    """The dataclass that the saved kind names, and the values of its fields."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
      expected = "keys and values, and a kind among them,"
      raise ConfigError(f"{key} is {shown(value)}: {expected} expected")
    value = dict(value)  # a copy: the caller's JSON keeps its kind
    try:
      return kinds.get(value.pop("kind")).Config, value
    except KeyError as error:
      raise ConfigError(f"{key}: {error.args[0]}") from error


def flatten(
  config: Any,
  prefix: str = "",
  affects: Sequence[str] = ("all", "training", "nothing"),
) -> dict[str, Any]:
  """Dotted key -> value of a dataclass and of those in it.

  Args:
    config: the dataclass.
    prefix: begins every key.
    affects: only the fields that affect these are listed, see `ranges.affecting`.
  """
  flat = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if field.metadata.get("affects", "all") not in affects:
      continue
    if dataclasses.is_dataclass(value):
      flat |= flatten(value, f"{prefix}{field.name}.", affects)
    else:
      flat[prefix + field.name] = value
  return flat


@functools.cache  # needed for every dataclass of every config that is read
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls)


def _is_config(value: Any) -> bool:
  return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _from_text(text: Text, value: Any, key: str) -> Any:
  if not isinstance(value, str):
    raise ConfigError(f"{key} is {shown(value)}: {text.expected} expected")
  try:
    return text.parse(value) if value else text.empty
  except UserError as error:
    raise ConfigError(f"{key}: {error}") from error


def _scalar(kind: type, value: Any, key: str) -> Any:
  """A number, a word or a truth value of the type `kind`."""
  if isinstance(value, np.generic):  # such as one of a sweep over np.linspace
    value = value.item()
  if kind is str and isinstance(value, os.PathLike):
    value = os.fsdecode(value)
  if kind is str and isinstance(value, str):
    return value  # a subclass may carry more than its text
  if kind is float and type(value) is int:  # not isinstance: True is an int
    try:
      return float(value)
    except OverflowError as error:
      raise ConfigError(f"{key} is {shown(value)}: it is too large") from error
  if type(value) is not kind:
    raise ConfigError(
      f"{key} is {shown(value)}: a value of type {kind.__name__} expected"
    )
  return value
