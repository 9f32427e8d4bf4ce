"""Where tokens lie: their documents, and the blocks that an engine walks over."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxmem.ops.attention_core import masks
from jaxmem.ops.recurrence import scan

# The start of a document that no token is of.
NOWHERE = 2**31 - 1


class Tokens(NamedTuple):
  """Where tokens lie: two of one document are `place_a - place_b` apart.

  Attributes:
    place: int32 [B, S].
    start: int32 [B, S], the place of the document's first token, perhaps long before
      the first place; NOWHERE where there is no token. Never falls along S.
    length: int32 [B, S], tokens of the document; None unless a mask asks.
  """

  place: Array
  start: Array
  length: Array | None = None


class Side(NamedTuple):
  """Queries or keys in blocks: every array is [T/C, B, ...]."""

  place: Array  # [T/C, B, C]
  start: Array
  length: Array
  extra: Any


def lead_in(a: Array, lead: int, fill: int = 0) -> Array:
  """`a` [B, T, ...] with `lead` tokens of `fill` in front."""
  return jnp.pad(
    a, ((0, 0), (lead, 0)) + ((0, 0),) * (a.ndim - 2), constant_values=fill
  )


def in_blocks(tokens: Tokens, extra: Any, size: int, lead: int) -> Side:
  """Tokens in blocks, with tokens of no document to fill them up."""
  short = -(lead + tokens.place.shape[1]) % size

  def blocks(a, fill=0):
    a = jnp.pad(lead_in(a, lead, fill), ((0, 0), (0, short)), constant_values=fill)
    return scan.to_chunks(a, size)

  # places continue evenly, as a bias may count from the first of a block
  before = tokens.place[:, :1] - lead + scan.indices(lead)
  behind = tokens.place[:, -1:] + 1 + scan.indices(short)
  place = jnp.concatenate([before, tokens.place, behind], axis=1)
  length = jnp.zeros_like(tokens.start) if tokens.length is None else tokens.length
  return Side(
    scan.to_chunks(place, size),
    blocks(tokens.start, NOWHERE),
    blocks(length),
    jax.tree.map(lambda a: scan.to_chunks(lead_in(a, lead), size), extra),
  )


class Extent(NamedTuple):
  """From where to where the tokens of each block lie, [T/C, B] each."""

  start: masks.Span
  place: masks.Span
  length: masks.Span | None  # of queries, where it is known


def extent(side: Side) -> Extent:
  """Of every block, to be asked once: blocks are compared with each other by it."""
  some = side.start != NOWHERE

  def span(a: Array) -> masks.Span:
    return masks.Span(
      jnp.where(some, a, NOWHERE).min(-1), jnp.where(some, a, -NOWHERE).max(-1)
    )

  # keys that travel between devices leave the length of their documents behind
  length = None if side.length is None else span(side.length)
  return Extent(span(side.start), span(side.place), length)


def _touches(mask: masks.Mask, query: Extent, keys: Extent) -> Bool[Array, " N"]:
  """Whether any query of a block, in any row, may see anything of a block of keys."""
  # documents follow each other, so blocks share one if the spans of their starts meet
  low = jnp.maximum(query.start.low, keys.start.low)
  high = jnp.minimum(query.start.high, keys.start.high)
  place, there = query.place, keys.place
  position = lambda p: masks.Span(p.low - high, p.high - low)
  distance = masks.Span(place.low - there.high, place.high - there.low)
  reach = masks.Reach(position(place), position(there), distance, query.length)
  return ((low <= high) & mask.touches(reach)).any(-1)


def visited(
  mask: masks.Mask, queries: Tokens, keys: Tokens, block_size: int
) -> Bool[Array, "M N"]:
  """Which blocks the engine computes, of as many queries as keys."""
  of = lambda tokens: extent(in_blocks(tokens, (), block_size, 0))
  return jax.vmap(lambda query: _touches(mask, query, of(keys)))(of(queries))


def touched(mask: masks.Mask, query: Extent, keys: Extent) -> tuple[Array, Array]:
  """The blocks of keys that some query of a block sees: how many, and which, first."""
  row = _touches(mask, query, keys)
  count, first = row.sum(dtype=jnp.int32), jnp.argmax(row).astype(jnp.int32)
  last = len(row) - 1 - jnp.argmax(row[::-1]).astype(jnp.int32)
  # most masks see blocks that follow each other, and a sort costs as much as a block
  follow = lambda row: first + scan.indices(len(row))
  gather = lambda row: jnp.argsort(~row, stable=True).astype(jnp.int32)
  return count, jax.lax.cond(last - first < count, follow, gather, row)


def pair_of(query: Side, key: Side, heads: tuple[int, int]) -> masks.Pair:
  """Positions of the queries of a block and of the keys, as the query's document."""
  start = query.start[:, None, None, :, None]
  place = query.place[:, None, None, :, None] - start
  here = key.place[:, None, None, None] - start
  head = scan.indices(heads[0] * heads[1]).reshape(*heads, 1, 1)
  return masks.Pair(place, here, query.length[:, None, None, :, None], head)


def visible(mask: masks.Mask, query: Side, key: Side, pair: masks.Pair) -> Array:
  """Which pairs of two blocks are seen, [B, 1 or H, 1 or N, C, C]."""
  same = query.start[:, :, None] == key.start[:, None]
  some = query.start[:, :, None] != NOWHERE
  return mask.sees(pair) & (same & some)[:, None, None]
