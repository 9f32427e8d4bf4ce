"""Patterns as text, read and written; `jaxmem.models.pattern` has the grammar.

Here a name is only a word: which layers there are, and with which options, is checked
where entries are made.
"""

import dataclasses
import re
from typing import Any

from jaxmem.core import registry

# The second layer of a block that has none.
NO_MLP = "none"


@dataclasses.dataclass(frozen=True)
class Entry:
  """A layer by file name: hashable, and as text JSON.

  Attributes:
    name: of a mixer, a wrapper or an MLP.
    options: fields of its class, sorted.
    parts: what a wrapper is around; () of all others.
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
    layers: a residual branch each, in order: the mixer, then the MLP if there is one.
  """

  layers: tuple[Entry, ...]

  def __str__(self) -> str:
    names = map(str, self.layers)
    return "/".join([*names, NO_MLP] if len(self.layers) == 1 else names)


# An entry alone is a block with the model's default MLP.
Pattern = tuple[Entry | Block, ...]


def show(pattern: Pattern) -> str:
  """The canonical text; `parse(show(pattern)) == pattern`."""
  return ",".join(map(str, pattern))


def split(text: str, separator: str = ",") -> list[str]:
  """The parts of a text between separators; one in brackets separates nothing."""
  parts, depth = [""], 0
  for c in text:
    depth += (c in "([{") - (c in ")]}")
    if c == separator and depth <= 0:
      parts.append("")
    else:
      parts[-1] += c
  return [part.strip() for part in parts]


def read(text: str) -> Pattern:
  """The pattern that a text spells, whether or not its names are known.

  Raises:
    ValueError: if an option is not of the form option=value, or is given twice.
  """
  return tuple(map(_block, split(text)))


def _block(text: str) -> Entry | Block:
  mixer, *rest = split(text, "/")
  if not rest:
    return read_entry(mixer)
  layers = [mixer] if rest == [NO_MLP] else [mixer, *rest]
  return Block(tuple(map(read_entry, layers)))


def read_entry(text: str) -> Entry:
  """One entry; an older form of sums, `a+b+c`, is `sum(a,sum(b,c))`.

  Raises:
    ValueError: see `read`.
  """
  first, *more = _terms(text)
  item = _term(first)
  return Entry("sum", (), (item, read_entry("+".join(more)))) if more else item


def _terms(text: str) -> list[str]:
  """The texts between plus signs; that of a number, 1e+5, is none."""
  terms: list[str] = []
  for part in split(text, "+"):
    if terms and not re.match("[a-z_]", part):
      terms[-1] += "+" + part
    else:
      terms.append(part)
  return terms


def _term(text: str) -> Entry:
  wrapper = re.fullmatch(r"(\w+)\s*\((.*)\)", text, re.DOTALL)
  if not wrapper:
    name, options = registry.options(text)
    return Entry(name, tuple(options.items()))
  name, inside = wrapper.groups()
  arguments = split(inside) if inside.strip() else []
  written = [a for a in arguments if re.match(r"\w+\s*=", a)]
  parts = [read_entry(a) for a in arguments if a not in written]
  _, options = registry.options(":".join([name, *written]))
  return Entry(name, tuple(options.items()), tuple(parts))
