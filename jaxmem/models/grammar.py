"""Reads and writes patterns as text; `jaxmem.models.pattern` documents the grammar.

A name is only a word here: `jaxmem.models.entries` checks names and options.
"""

import dataclasses
import re
from typing import Any

from jaxmem.core import registry

# The second layer of a block that has none.
NO_MLP = "none"


@dataclasses.dataclass(frozen=True)
class Entry:
  """A layer by its file name, with options; hashable.

  Attributes:
    name: the name of a mixer, a wrapper or an MLP.
    options: fields of its class and their values, sorted by field.
    parts: the entries that a wrapper is around; () of all other layers.
  """

  name: str
  options: tuple[tuple[str, Any], ...] = ()
  parts: tuple["Entry", ...] = ()

  def __str__(self) -> str:
    options = [f"{key}={value}" for key, value in self.options]
    if self.parts:
      return f"{self.name}({','.join([*map(str, self.parts), *options])})"
    return ":".join([self.name, *options])


@dataclasses.dataclass(frozen=True)
class Block:
  """The layers of a block.

  Attributes:
    layers: the residual branches in order: the mixer, then the MLP if there is one.
  """

  layers: tuple[Entry, ...]

  def __str__(self) -> str:
    names = map(str, self.layers)
    return "/".join([*names, NO_MLP] if len(self.layers) == 1 else names)


# An entry alone is a block with the model's default MLP.
Pattern = tuple[Entry | Block, ...]


def show(pattern: Pattern) -> str:
  """Returns the canonical text, which `parse` reads back to an equal pattern."""
  return ",".join(map(str, pattern))


def split(text: str, separator: str = ",") -> list[str]:
  """Splits a text at separators that are outside of all brackets.

  Args:
    text: the text.
    separator: one character.
  """
  parts, depth = [""], 0
  for c in text:
    depth += (c in "([{") - (c in ")]}")
    if c == separator and depth <= 0:
      parts.append("")
    else:
      parts[-1] += c
  return [part.strip() for part in parts]


def read(text: str) -> Pattern:
  """Reads the pattern that a text spells, whether or not its names exist.

  Raises:
    ValueError: if an option is not of the form option=value, or is given twice.
  """
  return tuple(map(_block, split(text)))


def _block(text: str) -> Entry | Block:
  mixer, *mlp = split(text, "/")  # more than one is an error that `pattern.parse` says
  if not mlp:
    return read_entry(mixer)
  layers = [mixer] if mlp == [NO_MLP] else [mixer, *mlp]
  return Block(tuple(map(read_entry, layers)))


def read_entry(text: str) -> Entry:
  """Reads one entry; the older form of sums, `a+b+c`, becomes `sum(a,sum(b,c))`.

  Raises:
    ValueError: see `read`.
  """
  first, *terms = _terms(text)
  item = _term(first)
  return Entry("sum", (), (item, read_entry("+".join(terms)))) if terms else item


def _terms(text: str) -> list[str]:
  """Splits a text at plus signs, except at that of a number such as 1e+5."""
  terms: list[str] = []
  for part in split(text, "+"):
    if terms and not re.match("[a-z_]", part):  # no name begins here: it was a number
      terms[-1] += "+" + part
    else:
      terms.append(part)
  return terms


def _term(text: str) -> Entry:
  """Reads an entry that is no sum: `name:option=value` or `wrapper(part, ...)`."""
  wrapper = re.fullmatch(r"(\w+)\s*\((.*)\)", text, re.DOTALL)
  if not wrapper:
    name, options = registry.options(text)
    return Entry(name, tuple(options.items()))
  name, inside = wrapper.groups()
  arguments = split(inside) if inside.strip() else []
  option_texts = [a for a in arguments if re.match(r"\w+\s*=", a)]
  parts = [read_entry(a) for a in arguments if a not in option_texts]
  _, options = registry.options(":".join([name, *option_texts]))
  return Entry(name, tuple(options.items()), tuple(parts))
