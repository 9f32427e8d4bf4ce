"""Who sees whom: masks that compose, on the places of tokens in their documents.

A mask never crosses a document's border: that is the engine's own rule, for every mask.
`a & b` sees what both see, `a | b` what either sees.

Source: Child et al. 2019, arXiv:1904.10509 (strided); Beltagy et al. 2020,
arXiv:2004.05150 (window, dilated, global); Zaheer et al. 2020, arXiv:2007.14062
(random blocks); Raffel et al. 2019, arXiv:1910.10683, section 3.2 (prefix).
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxmem.ops.recurrence import scan


class Pair(NamedTuple):
  """A query and a key of one document: int32, shapes that broadcast together.

  Arrays of places end in [C, 1] (queries) and [1, C] (keys); `head` is [H, N, 1, 1].
  """

  query: Array  # position in the document, from 0
  key: Array
  length: Array  # tokens of the document; only known where it is read both ways
  head: Array  # query head

  @property
  def distance(self) -> Array:
    return self.query - self.key


class Span(NamedTuple):
  """The least and the greatest of some numbers."""

  low: Array
  high: Array


class Reach(NamedTuple):
  """What the pairs of two blocks may be: spans of positions and of distances."""

  query: Span
  key: Span
  distance: Span
  length: Span


@dataclasses.dataclass(frozen=True)
class Mask:
  """What every mask can do; a frozen dataclass of numbers, so configs can hold it."""

  def sees(self, pair: Pair) -> Bool[Array, "..."]:
    """Whether the query sees the key."""
    raise NotImplementedError

  def touches(self, reach: Reach) -> Bool[Array, "..."]:
    """False only where no pair of two blocks is visible: such blocks cost nothing."""
    raise NotImplementedError

  def __and__(self, other: "Mask") -> "Mask":
    return Both(self, other)

  def __or__(self, other: "Mask") -> "Mask":
    return Either(self, other)


@dataclasses.dataclass(frozen=True)
class Both(Mask):
  """What `a` and `b` both see; written `a & b`."""

  a: Mask
  b: Mask

  def sees(self, pair):
    return self.a.sees(pair) & self.b.sees(pair)

  def touches(self, reach):
    return self.a.touches(reach) & self.b.touches(reach)


@dataclasses.dataclass(frozen=True)
class Either(Mask):
  """What `a` or `b` sees; written `a | b`."""

  a: Mask
  b: Mask

  def sees(self, pair):
    return self.a.sees(pair) | self.b.sees(pair)

  def touches(self, reach):
    return self.a.touches(reach) | self.b.touches(reach)


@dataclasses.dataclass(frozen=True)
class Document(Mask):
  """The whole document, both ways."""

  def sees(self, pair):
    return pair.distance == pair.distance

  def touches(self, reach):
    return reach.query.low == reach.query.low


@dataclasses.dataclass(frozen=True)
class Causal(Mask):
  """Itself and what came before."""

  def sees(self, pair):
    return pair.distance >= 0

  def touches(self, reach):
    return reach.distance.high >= 0


@dataclasses.dataclass(frozen=True)
class Window(Mask):
  """The last `size` tokens, itself included, and the next `ahead`."""

  size: int
  ahead: int = 0

  def sees(self, pair):
    return (pair.distance < self.size) & (pair.distance >= -self.ahead)

  def touches(self, reach):
    return (reach.distance.low < self.size) & (reach.distance.high >= -self.ahead)


@dataclasses.dataclass(frozen=True)
class Beyond(Mask):
  """What lies `size` tokens back or farther: all that a window has left behind."""

  size: int

  def sees(self, pair):
    return pair.distance >= self.size

  def touches(self, reach):
    return reach.distance.high >= self.size


@dataclasses.dataclass(frozen=True)
class First(Mask):
  """Everyone sees the first `count` tokens of the document.

  `Causal() & (Window(w) | First(n))` is a window with n sinks; `Causal() | First(n)` a
  language model with a prefix of n tokens that is read both ways.
  """

  count: int

  def sees(self, pair):
    return (pair.key < self.count) & (pair.query == pair.query)

  def touches(self, reach):
    return reach.key.low < self.count


@dataclasses.dataclass(frozen=True)
class Rest(Mask):
  """Everyone sees all but the first `count` tokens of the document."""

  count: int

  def sees(self, pair):
    return (pair.key >= self.count) & (pair.query == pair.query)

  def touches(self, reach):
    return (reach.key.high >= self.count) & (reach.query.low == reach.query.low)


@dataclasses.dataclass(frozen=True)
class ByFirst(Mask):
  """The first `count` tokens of the document see everyone."""

  count: int

  def sees(self, pair):
    return (pair.query < self.count) & (pair.key == pair.key)

  def touches(self, reach):
    return (reach.query.low < self.count) & (reach.key.low == reach.key.low)


@dataclasses.dataclass(frozen=True)
class ByRest(Mask):
  """All but the first `count` tokens of the document see everyone."""

  count: int

  def sees(self, pair):
    return (pair.query >= self.count) & (pair.key == pair.key)

  def touches(self, reach):
    return (reach.query.high >= self.count) & (reach.key.low == reach.key.low)


@dataclasses.dataclass(frozen=True)
class Global(Mask):
  """The first `count` tokens of the document see all and are seen by all."""

  count: int

  def sees(self, pair):
    return (pair.key < self.count) | (pair.query < self.count)

  def touches(self, reach):
    return (reach.key.low < self.count) | (reach.query.low < self.count)


@dataclasses.dataclass(frozen=True)
class Dilated(Mask):
  """`size` tokens back and `ahead` forward, every `dilation`-th; one a head or one."""

  size: int
  dilation: int | tuple[int, ...]
  ahead: int = 0

  def sees(self, pair):
    step = self.dilation
    if not isinstance(step, int):
      step = jnp.asarray(step, jnp.int32)[pair.head]
    distance = pair.distance
    near = (distance < self.size * step) & (distance >= -self.ahead * step)
    return near & (distance % step == 0)

  def touches(self, reach):
    step = self.dilation if isinstance(self.dilation, int) else max(self.dilation)
    return Window((self.size - 1) * step + 1, self.ahead * step).touches(reach)


@dataclasses.dataclass(frozen=True)
class Strided(Mask):
  """Every `stride`-th token, counted from the query."""

  stride: int

  def sees(self, pair):
    return pair.distance % self.stride == 0

  def touches(self, reach):
    low, high = reach.distance
    return high // self.stride * self.stride >= low


def dense(
  mask: Mask,
  reset: Bool[Array, "B T"],
  heads: int = 1,
) -> Bool[Array, "B A T T"]:
  """The mask as an array, [row, head, query, key]: for pictures and for tests.

  Args:
    mask: any.
    reset: True on the first token of a document.
    heads: A, query heads.
  """
  document = scan.documents(reset)
  place = scan.indices(reset.shape[1])
  begun = jnp.maximum(jnp.maximum.accumulate(jnp.where(reset, place, 0), axis=1), 0)
  same = document[:, :, None] == document[:, None]
  length = same.sum(-1, dtype=jnp.int32)
  position = (place - begun)[:, None]
  pair = Pair(
    position[..., :, None],
    position[..., None, :],
    length[:, None, :, None],
    scan.indices(heads)[:, None, None],
  )
  seen = mask.sees(pair) & same[:, None]
  return jnp.broadcast_to(seen, (*seen.shape[:1], heads, *seen.shape[2:]))
