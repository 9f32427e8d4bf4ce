"""Who sees whom: masks that compose, on the positions of tokens in their documents.

A mask never crosses a document's border: that is the engine's own rule, for every mask.
`a & b` allows what both allow, `a | b` what either allows.

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
  """Queries and keys of one document: int32 arrays that broadcast together.

  Attributes:
    query: [..., C, 1], positions in the document, from 0.
    key: [..., 1, C], the same of keys.
    length: tokens of the document; known only where it is read both ways.
    head: [H, N, 1, 1], the query head.
  """

  query: Array
  key: Array
  length: Array
  head: Array

  @property
  def distance(self) -> Array:
    return self.query - self.key


class Bounds(NamedTuple):
  """The least and the greatest of some numbers."""

  low: Array
  high: Array


class PairBounds(NamedTuple):
  """What the pairs of two blocks may be: bounds of positions and of distances."""

  query: Bounds
  key: Bounds
  distance: Bounds
  length: Bounds


# Their names before 0.2.
Span, Reach = Bounds, PairBounds


@dataclasses.dataclass(frozen=True)
class Mask:
  """What every mask can do; a frozen dataclass of numbers, so configs can hold it."""

  def allows(self, pair: Pair) -> Bool[Array, "..."]:
    """Whether the query sees the key."""
    raise NotImplementedError

  def block_overlaps(self, bounds: PairBounds) -> Bool[Array, "..."]:
    """False only where no pair of two blocks is visible: such blocks cost nothing."""
    raise NotImplementedError

  def __init_subclass__(cls, **kwargs):
    super().__init_subclass__(**kwargs)
    # a mask written before 0.2 calls its methods `sees` and `touches`
    for old, new in (("sees", "allows"), ("touches", "block_overlaps")):
      if old in vars(cls) and new not in vars(cls):
        setattr(cls, new, vars(cls)[old])

  def __and__(self, other: "Mask") -> "Mask":
    return Both(self, other)

  def __or__(self, other: "Mask") -> "Mask":
    return Either(self, other)


@dataclasses.dataclass(frozen=True)
class Both(Mask):
  """What `a` and `b` both allow; written `a & b`."""

  a: Mask
  b: Mask

  def allows(self, pair):
    return self.a.allows(pair) & self.b.allows(pair)

  def block_overlaps(self, bounds):
    return self.a.block_overlaps(bounds) & self.b.block_overlaps(bounds)


@dataclasses.dataclass(frozen=True)
class Either(Mask):
  """What `a` or `b` allows; written `a | b`."""

  a: Mask
  b: Mask

  def allows(self, pair):
    return self.a.allows(pair) | self.b.allows(pair)

  def block_overlaps(self, bounds):
    return self.a.block_overlaps(bounds) | self.b.block_overlaps(bounds)


@dataclasses.dataclass(frozen=True)
class Document(Mask):
  """The whole document, both ways."""

  def allows(self, pair):
    return pair.distance == pair.distance  # True, in the shape of all pairs

  def block_overlaps(self, bounds):
    return bounds.query.low == bounds.query.low


@dataclasses.dataclass(frozen=True)
class Causal(Mask):
  """Itself and what came before."""

  def allows(self, pair):
    return pair.distance >= 0

  def block_overlaps(self, bounds):
    return bounds.distance.high >= 0


@dataclasses.dataclass(frozen=True)
class Window(Mask):
  """The last `size` tokens, itself included, and the next `ahead`."""

  size: int
  ahead: int = 0

  def allows(self, pair):
    return (pair.distance < self.size) & (pair.distance >= -self.ahead)

  def block_overlaps(self, bounds):
    return (bounds.distance.low < self.size) & (bounds.distance.high >= -self.ahead)


@dataclasses.dataclass(frozen=True)
class Beyond(Mask):
  """What lies `size` tokens back or farther: all that a window has left behind."""

  size: int

  def allows(self, pair):
    return pair.distance >= self.size

  def block_overlaps(self, bounds):
    return bounds.distance.high >= self.size


@dataclasses.dataclass(frozen=True)
class First(Mask):
  """Everyone sees the first `count` tokens of the document.

  `Causal() & (Window(w) | First(n))` is a window with n sinks; `Causal() | First(n)` a
  language model with a prefix of n tokens that is read both ways.
  """

  count: int

  def allows(self, pair):
    # the second term is True and gives the first the shape of all pairs
    return (pair.key < self.count) & (pair.query == pair.query)

  def block_overlaps(self, bounds):
    return bounds.key.low < self.count


@dataclasses.dataclass(frozen=True)
class Rest(Mask):
  """Everyone sees all but the first `count` tokens of the document."""

  count: int

  def allows(self, pair):
    return (pair.key >= self.count) & (pair.query == pair.query)

  def block_overlaps(self, bounds):
    return (bounds.key.high >= self.count) & (bounds.query.low == bounds.query.low)


@dataclasses.dataclass(frozen=True)
class ByFirst(Mask):
  """The first `count` tokens of the document see everyone."""

  count: int

  def allows(self, pair):
    return (pair.query < self.count) & (pair.key == pair.key)

  def block_overlaps(self, bounds):
    return (bounds.query.low < self.count) & (bounds.key.low == bounds.key.low)


@dataclasses.dataclass(frozen=True)
class ByRest(Mask):
  """All but the first `count` tokens of the document see everyone."""

  count: int

  def allows(self, pair):
    return (pair.query >= self.count) & (pair.key == pair.key)

  def block_overlaps(self, bounds):
    return (bounds.query.high >= self.count) & (bounds.key.low == bounds.key.low)


@dataclasses.dataclass(frozen=True)
class Global(Mask):
  """The first `count` tokens of the document see all and are seen by all."""

  count: int

  def allows(self, pair):
    return (pair.key < self.count) | (pair.query < self.count)

  def block_overlaps(self, bounds):
    return (bounds.key.low < self.count) | (bounds.query.low < self.count)


@dataclasses.dataclass(frozen=True)
class Dilated(Mask):
  """`size` tokens back and `ahead` forward, every `dilation`-th; one a head or one."""

  size: int
  dilation: int | tuple[int, ...]
  ahead: int = 0

  def allows(self, pair):
    step = self.dilation
    if not isinstance(step, int):
      step = jnp.asarray(step, jnp.int32)[pair.head]
    distance = pair.distance
    near = (distance < self.size * step) & (distance >= -self.ahead * step)
    return near & (distance % step == 0)

  def block_overlaps(self, bounds):
    step = self.dilation if isinstance(self.dilation, int) else max(self.dilation)
    return Window((self.size - 1) * step + 1, self.ahead * step).block_overlaps(bounds)


@dataclasses.dataclass(frozen=True)
class Strided(Mask):
  """Every `stride`-th token, counted from the query."""

  stride: int

  def allows(self, pair):
    return pair.distance % self.stride == 0

  def block_overlaps(self, bounds):
    low, high = bounds.distance
    return high // self.stride * self.stride >= low


def dense(
  mask: Mask,
  reset: Bool[Array, "B T"],
  heads: int = 1,
) -> Bool[Array, "B A T T"]:
  """The mask as an array, [row, head, query, key]: for pictures and for tests.

  Args:
    mask: any mask.
    reset: True on the first token of a document.
    heads: A, query heads.

  Returns:
    True where the query sees the key.
  """
  document = scan.documents(reset)
  index = scan.indices(reset.shape[1])
  start = jnp.maximum(jnp.maximum.accumulate(jnp.where(reset, index, 0), axis=1), 0)
  same = document[:, :, None] == document[:, None]  # [B, T, T]
  length = same.sum(-1, dtype=jnp.int32)
  position = (index - start)[:, None]  # [B, 1, T]
  pair = Pair(
    position[..., :, None],
    position[..., None, :],
    length[:, None, :, None],
    scan.indices(heads)[:, None, None],
  )
  seen = mask.allows(pair) & same[:, None]  # [B, 1 or A, T, T]
  return jnp.broadcast_to(seen, (*seen.shape[:1], heads, *seen.shape[2:]))
