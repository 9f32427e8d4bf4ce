"""A mask that is a table: which blocks of a document see which."""

import dataclasses

import jax.numpy as jnp

from jaxmem.ops.attention_core.masks import Mask, Span


@dataclasses.dataclass(frozen=True)
class BlockTable(Mask):
  """Blocks of `size` tokens see each other as `table[query block][key block]` says.

  Blocks are counted from the document's first token; beyond the table nobody sees.
  """

  size: int
  table: tuple[tuple[bool, ...], ...]

  def sees(self, pair):
    table = jnp.asarray(self.table, bool)
    rows, columns = table.shape
    i, j = pair.query // self.size, pair.key // self.size
    known = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
    return table[jnp.clip(i, 0, rows - 1), jnp.clip(j, 0, columns - 1)] & known

  def touches(self, reach):
    table = jnp.asarray(self.table, jnp.int32)
    rows, columns = table.shape
    # sums of rectangles tell whether any entry within two spans is set
    total = jnp.pad(table.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    edge = lambda x, n: jnp.clip(x, 0, n)
    i0, i1 = (edge(x, rows) for x in _blocks(reach.query, self.size))
    j0, j1 = (edge(x, columns) for x in _blocks(reach.key, self.size))
    return total[i1, j1] - total[i0, j1] - total[i1, j0] + total[i0, j0] > 0


def _blocks(span: Span, size: int) -> Span:
  """The blocks that positions of a span lie in, from the first to one past the last."""
  return Span(span.low // size, span.high // size + 1)
