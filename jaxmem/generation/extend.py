"""Rows that continue by different lengths, exactly, without padding."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmem.core.typing import State
from jaxmem.ops.recurrence import scan


def extend(
  f: Callable[[Any, State], tuple[Any, State]],
  x: Any,
  lengths: Sequence[int] | Int[np.ndarray, " B"],
  state: State,
  piece_size: int = 1024,
) -> tuple[Any, State]:
  """Each row continues by a length of its own, from the state that it is in.

  A row reads pieces of 2^k tokens, the largest first, as the bits of its length say; it
  keeps its state through the pieces that are not its own. The pieces do not depend on
  the other rows. Cost: at most twice the work of the longest row, in log2(piece_size)
  shapes; exact for every memory, since nothing is padding.

      last, state = extend(f, tokens, [21, 6, 0], state)

  Args:
    f: `(x [B, n, ...], state) -> (y [B, n or 1, ...], state)`; may be jitted. Where a
      row has no piece it is given tokens that do not count.
    x: what is read, arrays [B, T, ...]; of row b the first lengths[b] tokens.
    lengths: known on the host, 0 .. T each.
    state: memory before the first token; not donated.
    piece_size: tokens of the largest piece, a power of 2.

  Returns:
    The last output of each row, y without its time axis and zeros for length 0; and the
    memory after each row's last token.

  Raises:
    ValueError: if a length is not in 0 .. T, or `piece_size` is no power of 2.
  """
  rest = np.array(lengths, np.int64)
  rows, length = jax.tree.leaves(x)[0].shape[:2]
  if rest.shape != (rows,) or ((rest < 0) | (rest > length)).any():
    raise ValueError(f"lengths are {rest.tolist()}: {rows} of 0 .. {length} expected")
  if piece_size < 1 or piece_size & (piece_size - 1):
    raise ValueError(f"piece_size is {piece_size}: it must be a power of 2")
  one = lambda a: jax.ShapeDtypeStruct((rows, 1, *a.shape[2:]), a.dtype)
  y = jax.eval_shape(f, jax.tree.map(one, x), state)[0]
  last = jax.tree.map(lambda a: jnp.zeros((rows, *a.shape[2:]), a.dtype), y)
  at, size = np.zeros_like(rest), piece_size
  while size:
    mine = rest >= size
    if not mine.any():
      size //= 2
      continue
    index = np.minimum(at[:, None] + np.arange(size), length - 1)
    piece = jax.tree.map(lambda a: a[np.arange(rows)[:, None], index], x)  # noqa: B023
    y, new = f(piece, state)
    last, state = _keep(mine, y, new, last, state)
    at, rest = at + size * mine, rest - size * mine
  return last, state


@jax.jit
def _keep(mine: Bool[Array, " B"], y, new, last, state):
  """Output and state of the rows that had a piece, as they were for the others."""
  newest = jax.tree.map(lambda a: a[:, -1], y)
  return scan.where_row(mine, (newest, new), (last, state))
