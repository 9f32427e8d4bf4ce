"""BigBird's mask: near, last and random blocks of a document.

    BigBird(b, r) = Global(b) | LastBlock(b) | NearBlocks(b) | RandomBlocks(b, r)

Blocks of b tokens are counted from the document's first token, so packing changes
nothing, and the random ones are drawn by a hash of where they are: no length is too
long, and no table is kept.

Source: Zaheer et al. 2020, arXiv:2007.14062, section 2 and appendix D (blocks).
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxmem.ops.attention_core.masks import Bounds, Global, Mask
from jaxmem.ops.recurrence import scan


def bigbird(block: int, num_random: int, heads: int, seed: int = 0) -> Mask:
  """Who sees whom in a layer of BigBird; read both ways.

  Args:
    block: b, tokens of a block.
    num_random: r, random blocks that a block of queries sees.
    heads: query heads, each with random blocks of its own.
    seed: of the random blocks.
  """
  mask = Global(block) | LastBlock(block) | NearBlocks(block)
  return mask | RandomBlocks(block, num_random, heads, seed) if num_random else mask


@dataclasses.dataclass(frozen=True)
class LastBlock(Mask):
  """The document's last block sees all and is seen by all."""

  size: int

  def allows(self, pair):
    last = _last(pair.length, self.size)
    return (pair.query // self.size == last) | (pair.key // self.size == last)

  def block_overlaps(self, bounds):
    first = _last(bounds.length.low, self.size) * self.size
    return (bounds.query.high >= first) | (bounds.key.high >= first)


@dataclasses.dataclass(frozen=True)
class NearBlocks(Mask):
  """A block sees itself and the block on each side."""

  size: int

  def allows(self, pair):
    apart = pair.query // self.size - pair.key // self.size
    return (apart <= 1) & (apart >= -1)

  def block_overlaps(self, bounds):
    query, key = (_blocks(side, self.size) for side in (bounds.query, bounds.key))
    return (query[0] <= key[1] + 1) & (key[0] <= query[1] + 1)


class _Eligible(NamedTuple):
  """What block i draws from: 1 .. i-2 and i+2 .. m-2, the rest being seen anyway."""

  block: Int[Array, "..."]  # i
  left: Int[Array, "..."]  # how many of the former
  count: Int[Array, "..."]  # of both

  def nth(self, rank: Int[Array, "..."]) -> Int[Array, "..."]:
    """The eligible block with so many before it."""
    return jnp.where(rank < self.left, rank + 1, self.block + 2 + rank - self.left)


@dataclasses.dataclass(frozen=True)
class RandomBlocks(Mask):
  """A block sees `count` others, drawn by head, that BigBird does not show it anyway.

  The eligible blocks are dealt out into `count` equal runs, and one is drawn from each;
  where they are no more than `count`, all are seen. The first and the last block draw
  none.
  """

  size: int
  count: int
  heads: int
  seed: int = 0

  def allows(self, pair):
    eligible = self._eligible(pair.query // self.size, pair.length)
    block = pair.key // self.size
    # the key's block by its rank among the eligible ones
    right = block >= eligible.block + 2
    rank = jnp.where(right, eligible.left + block - eligible.block - 2, block - 1)
    is_eligible = (rank >= 0) & (rank < jnp.where(right, eligible.count, eligible.left))
    # the run that the rank lies in
    run = ((rank + 1) * self.count - 1) // jnp.maximum(eligible.count, 1)
    drawn = self._drawn(eligible, run, pair.head) == rank
    return is_eligible & (drawn | (eligible.count <= self.count))

  def block_overlaps(self, bounds):
    first, last = _blocks(bounds.query, self.size)
    low, high = _blocks(bounds.key, self.size)
    # tokens of one document and of at most three blocks are looked at closely
    many = (last - first > 2) | (bounds.length.low != bounds.length.high)
    first, last, low, high, length = (
      a[..., None, None, None] for a in (first, last, low, high, bounds.length.low)
    )
    blocks = first + scan.indices(3)[:, None, None]  # [..., 3, 1, 1]
    eligible = self._eligible(blocks, length)
    head, run = scan.indices(self.heads)[:, None], scan.indices(self.count)
    rank = self._drawn(eligible, run, head)  # [..., 3, heads, count]
    # where there are no more than are drawn, the runs are single blocks
    rank = jnp.where(eligible.count <= self.count, run, rank)
    drawn = eligible.nth(rank)
    is_drawn = (blocks <= last) & (rank < eligible.count)
    is_drawn = is_drawn & (drawn >= low) & (drawn <= high)
    return many | is_drawn.any((-3, -2, -1))

  def _eligible(self, block, length) -> _Eligible:
    last = _last(length, self.size)
    inner = (block > 0) & (block < last)
    left = jnp.where(inner, jnp.maximum(block - 2, 0), 0)
    right = jnp.where(inner, jnp.maximum(last - block - 2, 0), 0)
    return _Eligible(block, left, left + right)

  def _drawn(self, eligible, run, head) -> Int[Array, "..."]:
    """The rank drawn in a run of the eligible blocks."""
    low, high = (n * eligible.count // self.count for n in (run, run + 1))
    width = jnp.maximum(high - low, 1)
    draw = _hash(self.seed, head, eligible.block, run)
    return low + (draw % width.astype(jnp.uint32)).astype(jnp.int32)


def _last(length: Int[Array, "..."], size: int) -> Int[Array, "..."]:
  """The document's last block."""
  return (length - 1) // size


def _blocks(positions: Bounds, size: int) -> tuple[Array, Array]:
  """The first and the last block that positions lie in."""
  return positions.low // size, positions.high // size


def _hash(seed: int, *numbers: Int[Array, "..."]) -> Array:
  """A uint32 that looks random: MurmurHash3's last rounds, once a number."""
  mixed = jnp.uint32(seed % 2**32)
  for number in numbers:
    mixed = mixed * jnp.uint32(0x9E3779B1) + number.astype(jnp.uint32) + 1
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
    mixed = mixed ^ (mixed >> 16)
  return mixed
