"""The table of what a command takes: an option for each field of its dataclasses.

The parser, the help and the completion of a command read it; see `core.command_line`.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.core import docstrings
from jaxmem.core.config import Text

# What stands for a value in help.
_WORDS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


class Page(NamedTuple):
  """What `--help` shows of a command, on one screen.

  Attributes:
    example: a command that works.
    groups: title -> keys of the options below it, the most used ones.
    places: keys of options that have no flag and are told apart by their place.
    words: key -> the word that stands for its value, such as DIR.
  """

  example: str
  groups: Mapping[str, Sequence[str]] = types.MappingProxyType({})
  places: Sequence[str] = ()
  words: Mapping[str, str] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Option:
  """One option of a command.

  Attributes:
    key: the dotted name of the field.
    type: the annotation of the field; of a tuple, that of its members.
    default: the value without the option.
    text: the description of the field, on one line.
    word: stands for the value, such as DIR; choices are listed.
    choices: the words that the option may have; none is any.
    required: the remedy where the option is missing, or "".
    many: whether the field holds a tuple.
    placed: whether the option has no flag.
    parser: reads a value that is written as text of its own, such as a pattern.
  """

  key: str
  type: Any
  default: Any
  text: str
  word: str
  choices: tuple[str, ...] = ()
  required: str = ""
  many: bool = False
  placed: bool = False
  parser: Text | None = None

  @property
  def flag(self) -> str:
    """The flag, or for an option without one the word that stands for it."""
    return self.word if self.placed else "--" + self.key.replace("_", "-")

  @property
  def flags(self) -> tuple[str, ...]:
    """Every flag: that of a truth value has an opposite."""
    if self.placed:
      return ()
    head, _, last = self.flag[2:].rpartition(".")
    opposite = f"--{head}.no-{last}" if head else f"--no-{last}"
    return (self.flag, opposite) if self.type is bool else (self.flag,)


class Command(NamedTuple):
  """A command, or one of its actions: what its parser, help and completion need.

  Attributes:
    prog: the words that call it, such as "jaxmem index build".
    text: what it does, in paragraphs.
    page: what `--help` shows.
    options: all that it takes.
  """

  prog: str
  text: str
  page: Page
  options: tuple[Option, ...]


def describe(
  prog: str,
  *defaults: Any,
  texts: Mapping[Any, Text] | None = None,
) -> Command:
  """Returns the command whose options are the fields of dataclasses.

  Args:
    prog: the words that call it.
    defaults: instances, whose values are the defaults; the first has a `PAGE`, and its
      docstring is the text of the command.
    texts: annotation of a field -> how its values are written.
  """
  page = defaults[0].PAGE
  rows = [row for each in defaults for row in _rows(each, page, texts or {}, "")]
  text = docstrings.parts(type(defaults[0]).__doc__ or "")[0].strip()
  return Command(prog, text, page, tuple(rows))


def _rows(
  config: Any, page: Page, texts: Mapping[Any, Text], prefix: str
) -> list[Option]:
  """The options of a dataclass and of those in it."""
  hints, entries = typing.get_type_hints(type(config)), docstrings.entries(type(config))
  rows = []
  for field in dataclasses.fields(config):
    key, default = prefix + field.name, getattr(config, field.name)
    if dataclasses.is_dataclass(default):
      rows += _rows(default, page, texts, f"{key}.")
      continue
    _, _, text = entries.get(field.name, "").partition(": ")
    parser = texts.get(hints[field.name])
    kind, many = (str, False) if parser else _member(hints[field.name])
    choices = _choices(kind, field)
    word = _WORDS.get(kind, "" if kind is bool else "TEXT")
    if key in page.places:
      word = field.name.replace("_", "-").upper()
    rows.append(
      Option(
        key=key,
        type=kind,
        default=default,
        text=" ".join(text.split()),
        word=page.words.get(key, "|".join(choices) or word),
        choices=choices,
        required=field.metadata.get("required", ""),
        many=many,
        placed=key in page.places,
        parser=parser,
      )
    )
  return rows


def _member(hint: Any) -> tuple[Any, bool]:
  """The type of a value, and whether a field holds a tuple of them."""
  if typing.get_origin(hint) is tuple:
    return typing.get_args(hint)[0], True
  if isinstance(hint, types.UnionType):  # int | None
    (hint,) = [each for each in typing.get_args(hint) if each is not types.NoneType]
  return hint, False


def _choices(kind: Any, field: dataclasses.Field) -> tuple[str, ...]:
  names = field.metadata.get("choices", ())
  if typing.get_origin(kind) is typing.Literal:
    names = typing.get_args(kind)
  # the empty word is a default that nobody types
  return tuple(name for name in (names() if callable(names) else names) if name)
