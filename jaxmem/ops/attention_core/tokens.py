"""Where tokens lie: their documents, and the blocks that the engine walks over."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxmem.ops.attention_core.masks import Bounds, Mask, Pair, PairBounds
from jaxmem.ops.recurrence import scan

# The start of a document that no token belongs to.
NOWHERE = 2**31 - 1


class Tokens(NamedTuple):
  """Where tokens lie: two of one document are `position_a - position_b` apart.

  Attributes:
    position: int32 [B, S], counted from the call's first token.
    start: int32 [B, S], the position of the document's first token, perhaps long before
      the first position; NOWHERE where there is no token. Never falls along S.
    length: int32 [B, S], tokens of the document; None unless a mask needs it.
  """

  position: Array
  start: Array
  length: Array | None = None

  @property
  def in_document(self) -> Int[Array, "B S"]:
    """Positions counted from the document's first token."""
    return self.position - self.start


class TokenBlocks(NamedTuple):
  """Queries or keys in blocks: every array is [T/C, B, ...].

  Attributes:
    position: [T/C, B, C].
    start: [T/C, B, C].
    length: [T/C, B, C]; None of keys that travel between devices.
    extra: a tree of [T/C, B, C, ...], what else a bias reads of every token.
    selected: [T/C, B, N] of queries, the key blocks that each block of queries may
      read, see `engine.attend`; None where the mask alone decides.
  """

  position: Array
  start: Array
  length: Array | None
  extra: Any
  selected: Array | None = None


def lead_in(a: Array, lead: int, fill: int = 0) -> Array:
  """`a` [B, T, ...] with `lead` tokens of `fill` in front."""
  return jnp.pad(
    a, ((0, 0), (lead, 0)) + ((0, 0),) * (a.ndim - 2), constant_values=fill
  )


def in_blocks(tokens: Tokens, extra: Any, size: int, lead: int) -> TokenBlocks:
  """Tokens in blocks, filled up with tokens of no document.

  Args:
    tokens: [B, T].
    extra: a tree of [B, T, ...].
    size: C, tokens of a block.
    lead: how many tokens of no document stand in front.
  """
  short = -(lead + tokens.position.shape[1]) % size

  def blocks(a, fill=0):
    a = jnp.pad(lead_in(a, lead, fill), ((0, 0), (0, short)), constant_values=fill)
    return scan.to_chunks(a, size)  # [T/C, B, C]

  # positions continue evenly, as a bias may count from the first of a block
  before = tokens.position[:, :1] - lead + scan.indices(lead)
  after = tokens.position[:, -1:] + 1 + scan.indices(short)
  position = jnp.concatenate([before, tokens.position, after], axis=1)
  length = jnp.zeros_like(tokens.start) if tokens.length is None else tokens.length
  return TokenBlocks(
    scan.to_chunks(position, size),
    blocks(tokens.start, NOWHERE),
    blocks(length),
    jax.tree.map(lambda a: scan.to_chunks(lead_in(a, lead), size), extra),
  )


class BlockBounds(NamedTuple):
  """From where to where the tokens of each block lie, [T/C, B] each."""

  start: Bounds
  position: Bounds
  length: Bounds | None  # of queries, where it is known


def block_bounds(blocks: TokenBlocks) -> BlockBounds:
  """The bounds of every block, computed once: blocks are compared by them alone."""
  is_token = blocks.start != NOWHERE

  def bounds(a: Array) -> Bounds:
    low = jnp.where(is_token, a, NOWHERE).min(-1)
    return Bounds(low, jnp.where(is_token, a, -NOWHERE).max(-1))

  # keys that travel between devices leave the length of their documents behind
  length = None if blocks.length is None else bounds(blocks.length)
  return BlockBounds(bounds(blocks.start), bounds(blocks.position), length)


def _overlaps(mask: Mask, query: BlockBounds, keys: BlockBounds) -> Bool[Array, "S B"]:
  """Whether any query of a block may see anything of a block of keys, row by row."""
  # documents follow each other, so blocks share one if the bounds of their starts meet
  low = jnp.maximum(query.start.low, keys.start.low)
  high = jnp.minimum(query.start.high, keys.start.high)
  here, there = query.position, keys.position
  bounds = PairBounds(
    query=Bounds(here.low - high, here.high - low),
    key=Bounds(there.low - high, there.high - low),
    distance=Bounds(here.low - there.high, here.high - there.low),
    length=query.length,
  )
  return (low <= high) & mask.block_overlaps(bounds)


def visited(
  mask: Mask, queries: Tokens, keys: Tokens, block_size: int
) -> Bool[Array, "M N"]:
  """Which blocks the engine computes, of as many queries as keys."""
  query_bounds, key_bounds = (
    block_bounds(in_blocks(tokens, (), block_size, 0)) for tokens in (queries, keys)
  )

  def key_blocks(query: BlockBounds) -> Bool[Array, " N"]:
    return _overlaps(mask, query, key_bounds).any(-1)

  return jax.vmap(key_blocks)(query_bounds)


def to_visit(
  mask: Mask,
  query: BlockBounds,
  keys: BlockBounds,
  selected: Int[Array, "B N"] | None = None,
) -> tuple[Int[Array, ""], Int[Array, " S"] | Int[Array, "N B"]]:
  """The key blocks that a block of queries reads: how many, and which ones, first.

  Without `selected` all rows walk over the blocks that any of them sees, [S/C]; with it
  every row over its own, [N, B], and -1 stands where a row has no more of them.
  """
  overlaps = _overlaps(mask, query, keys)  # [S/C, B]
  if selected is not None:
    rows = scan.indices(overlaps.shape[1])
    j = selected.T  # [N, B]
    inside = (j >= 0) & (j < len(overlaps))
    j = jnp.where(inside & overlaps[jnp.where(inside, j, 0), rows], j, -1)
    j = jnp.sort(j, axis=0, descending=True)
    # a block that is named twice is read once
    again = jnp.zeros_like(j, bool).at[1:].set(j[1:] == j[:-1])
    j = jnp.sort(jnp.where(again, -1, j), axis=0, descending=True)
    return (j >= 0).any(1).sum(dtype=jnp.int32), j
  row = overlaps.any(-1)  # [S/C]
  count, first = row.sum(dtype=jnp.int32), jnp.argmax(row).astype(jnp.int32)
  last = len(row) - 1 - jnp.argmax(row[::-1]).astype(jnp.int32)

  def consecutive(row):
    return first + scan.indices(len(row))

  def scattered(row):
    return jnp.argsort(~row, stable=True).astype(jnp.int32)

  # most masks see blocks that follow each other, and a sort costs as much as a block
  return count, jax.lax.cond(last - first < count, consecutive, scattered, row)


def block_at(tree: Any, j: Int[Array, ""] | Int[Array, " B"]) -> Any:
  """Block j of every array [S/C, B, ...], or block j[b] of row b; -1 gives any."""
  if not j.ndim:
    return jax.tree.map(lambda a: a[j], tree)
  rows = scan.indices(len(j))
  return jax.tree.map(lambda a: a[jnp.maximum(j, 0), rows], tree)


def keys_at(keys: TokenBlocks, j: Int[Array, ""] | Int[Array, " B"]) -> TokenBlocks:
  """Block j of the keys; tokens of no document where j is -1."""
  key = block_at(keys, j)
  if not j.ndim:
    return key
  return key._replace(start=jnp.where((j >= 0)[:, None], key.start, NOWHERE))


def add_at(sums: Any, j: Int[Array, ""] | Int[Array, " B"], parts: Any) -> Any:
  """The sums [S/C, B, ...] with `parts` [B, ...] added to block j, as in `block_at`."""
  block = (jnp.maximum(j, 0), scan.indices(len(j))) if j.ndim else j

  def add(total, part):
    return total.at[block].add(part.astype(total.dtype))

  return jax.tree.map(add, sums, parts)


def pair_of(query: TokenBlocks, key: TokenBlocks, heads: tuple[int, int]) -> Pair:
  """The pairs of two blocks, their positions counted in the query's document."""
  start = query.start[:, None, None, :, None]  # [B, 1, 1, C, 1]
  position = query.position[:, None, None, :, None] - start
  key_position = key.position[:, None, None, None] - start  # [B, 1, 1, C, C]
  head = scan.indices(heads[0] * heads[1]).reshape(*heads, 1, 1)  # [H, N, 1, 1]
  return Pair(position, key_position, query.length[:, None, None, :, None], head)


def visible(
  mask: Mask, query: TokenBlocks, key: TokenBlocks, pair: Pair
) -> Bool[Array, "B _ _ C C"]:
  """Which pairs of two blocks are seen, [B, 1 or H, 1 or N, C, C]."""
  same = query.start[:, :, None] == key.start[:, None]  # [B, C, C]
  is_token = query.start[:, :, None] != NOWHERE
  return mask.allows(pair) & (same & is_token)[:, None, None]
