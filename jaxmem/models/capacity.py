"""Memories of declared capacity: too long a document is refused before it is read.

Full attention holds `capacity` tokens of a document and answers NaN behind them. Where
lengths are known, on the host, that is a message instead.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxmem import mixers
from jaxmem.core.errors import UserError
from jaxmem.models.pattern import Pattern, walk
from jaxmem.models.stack import blocks_of
from jaxmem.tokenizers import Tokenizer

# What a limit of learned positions is named.
POSITIONS = "positions"


class CapacityError(UserError):
  """A text is longer than a memory holds; names both lengths and the remedy."""


class Limit(NamedTuple):
  """The memory of a model that holds least.

  Attributes:
    memory: its name.
    tokens: of a document, its EOS token included, that it holds.
  """

  memory: str
  tokens: int

  def check(self, length: int, what: str, remedy: str) -> None:
    """Raises CapacityError if `what`, of `length` tokens, is longer than this."""
    if length > self.tokens:
      option = f"{self.memory}:capacity={length} in --model.pattern"
      if self.memory == POSITIONS:
        option = f"--model.positions {length}"
      raise CapacityError(
        f"memory {self.memory!r} holds {self.tokens:,} tokens of a document, and "
        f"{what} has {length:,}: {remedy}, or train with a larger capacity "
        f"({option})"
      )


def limit(pattern: Pattern) -> Limit | None:
  """The smallest capacity in a pattern; None if no memory has one.

  Every mixer with a field `capacity` counts.
  """
  found = []
  for item in walk(pattern):
    fields = dataclasses.fields(mixers.get(item.name).Mixer)
    given = {f.name: f.default for f in fields} | dict(item.options)
    if "capacity" in given:
      found.append(Limit(item.name, given["capacity"]))
  return min(found, key=lambda each: each.tokens, default=None)


def limit_of(config: Any) -> Limit | None:
  """The smallest capacity of a model, that of learned positions included."""
  found = [limit(blocks_of(config))]
  if positions := getattr(config, "positions", 0):
    found.append(Limit(POSITIONS, positions))
  return min(filter(None, found), key=lambda each: each.tokens, default=None)


def longest(texts: Iterable[Any], tokenizer: Tokenizer, limit: Limit) -> int:
  """Tokens of the longest document, or of the first that is longer than the limit.

  Args:
    texts: documents with `size` in bytes and `read() -> bytes`.
    tokenizer: text to ids; none is shorter than a byte.
    limit: documents of fewer bytes are not read.
  """
  most = 0
  for text in texts:
    length = text.size + 1  # the EOS token
    if length > limit.tokens:
      length = len(tokenizer.encode(text.read())) + 1
    most = max(most, length)
    if most > limit.tokens:
      break
  return most
