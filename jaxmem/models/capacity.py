"""Declared capacities: a document that is too long is refused before it is read.

Full attention holds `capacity` tokens of a document and returns NaN after them. Where
lengths are known on the host, the user gets a message instead.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxmem import mixers
from jaxmem.core.errors import UserError
from jaxmem.models.pattern import Entry, Pattern, edit, set_options, walk
from jaxmem.models.stack import blocks_of
from jaxmem.tokenizers import Tokenizer, start_ids

# The name of the limit that learned positions set.
POSITIONS = "positions"
# The fewest tokens that `fitted` leaves: less saves nothing.
_FEWEST = 256


class CapacityError(UserError):
  """A text is longer than a memory holds; the message names both and the remedy."""


class Limit(NamedTuple):
  """The memory of a model that holds the fewest tokens.

  Attributes:
    memory: its name.
    tokens: how many tokens of a document it holds, the EOS token included.
  """

  memory: str
  tokens: int

  def check(self, length: int, subject: str, remedy: str) -> None:
    """Checks a length against the limit.

    Args:
      length: tokens of the text, its EOS token included.
      subject: what is that long, for the message.
      remedy: what to do about it, for the message.

    Raises:
      CapacityError: if the text is longer than the limit.
    """
    if length > self.tokens:
      entry = f"{self.memory}:capacity={length}"
      larger = f"{entry} in --model.pattern; of a pretrained model --memory {entry}"
      if self.memory == POSITIONS:
        larger = f"--model.positions {length}"
      raise CapacityError(
        f"memory {self.memory!r} holds {self.tokens:,} tokens of a document, and "
        f"{subject} has {length:,}: {remedy}, or train with a larger capacity "
        f"({larger})"
      )


def limit(pattern: Pattern) -> Limit | None:
  """Returns the smallest capacity in a pattern; None if no memory has one.

  Every mixer with a field `capacity` counts.
  """
  limits = []
  for item in walk(pattern):
    fields = dataclasses.fields(mixers.get(item.name).Mixer)
    options: dict[str, Any] = {f.name: f.default for f in fields} | dict(item.options)
    if "capacity" in options:
      limits.append(Limit(item.name, options["capacity"]))
  return min(limits, key=lambda limit: limit.tokens, default=None)


def limit_of(config: Any) -> Limit | None:
  """Returns the smallest capacity of a model, that of learned positions included."""
  limits = [limit(blocks_of(config))]
  if positions := getattr(config, "positions", 0):
    limits.append(Limit(POSITIONS, positions))
  return min(filter(None, limits), key=lambda limit: limit.tokens, default=None)


def fitted(config: Any, tokens: int) -> Any:
  """Returns a config whose memories hold no more than texts of some length need.

  Args:
    config: of a model.
    tokens: of the longest text. It is rounded up to a power of 2, so that few shapes
      are compiled.
  """
  size = max(1 << max(tokens - 1, 0).bit_length(), _FEWEST)

  def lower(item: Entry) -> Entry:
    own = dict(item.options).get("capacity", 0)
    return set_options(item, capacity=size) if own > size else item

  names = ("first", "pattern", "last")
  parts = {n: edit(getattr(config, n), lower) for n in names if hasattr(config, n)}
  return dataclasses.replace(config, **parts)


def longest(texts: Iterable[Any], tokenizer: Tokenizer, limit: Limit) -> int:
  """Counts the tokens of the longest document, or of the first above the limit.

  Args:
    texts: documents with `size` in bytes and `read() -> bytes`.
    tokenizer: text to ids; none is shorter than a byte.
    limit: documents of fewer bytes are not read, since a token has at least one byte.
  """
  most = 0
  for text in texts:
    length = text.size + 1  # the token that begins a document
    if length > limit.tokens:
      length = len(tokenizer.encode(text.read())) + len(start_ids(tokenizer))
    most = max(most, length)
    if most > limit.tokens:
      break
  return most
