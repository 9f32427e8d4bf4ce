"""A mask that is a table: which blocks of a document see which."""

import dataclasses

import jax.numpy as jnp

from jaxmem.ops.attention_core.masks import Bounds, Mask


@dataclasses.dataclass(frozen=True)
class BlockTable(Mask):
  """Blocks of `size` tokens see each other as `table[query block][key block]` says.

  Blocks are counted from the document's first token; beyond the table nobody sees.
  """

  size: int
  table: tuple[tuple[bool, ...], ...]

  def allows(self, pair):
    table = jnp.asarray(self.table, bool)
    rows, columns = table.shape
    i, j = pair.query // self.size, pair.key // self.size
    inside = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
    return table[jnp.clip(i, 0, rows - 1), jnp.clip(j, 0, columns - 1)] & inside

  def block_overlaps(self, bounds):
    table = jnp.asarray(self.table, jnp.int32)
    rows, columns = table.shape
    # the sum of a rectangle of the table tells whether any of its entries is set
    total = jnp.pad(table.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # [rows+1, columns+1]
    i0, i1 = (jnp.clip(i, 0, rows) for i in _blocks(bounds.query, self.size))
    j0, j1 = (jnp.clip(j, 0, columns) for j in _blocks(bounds.key, self.size))
    return total[i1, j1] - total[i0, j1] - total[i1, j0] + total[i0, j0] > 0


def _blocks(positions: Bounds, size: int) -> Bounds:
  """The blocks that positions lie in, from the first to one past the last."""
  return Bounds(positions.low // size, positions.high // size + 1)
