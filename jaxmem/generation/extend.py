"""Extends rows by different lengths, exactly, without padding."""

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
  """Extends each row by a length of its own, from its present state.

  A row reads pieces of 2^k tokens, the largest first, as the bits of its length say; it
  keeps its state through the pieces that it has no part in. The pieces do not depend on
  the other rows. The result is exact for every memory, since nothing is padded.

  Cost: at most twice the work of the longest row, in log2(piece_size) shapes.

      last, state = extend(f, tokens, [21, 6, 0], state)

  Args:
    f: `(x [B, n, ...], state) -> (y [B, n or 1, ...], state)`; may be jitted. A row
      without a piece gets tokens whose outputs are discarded.
    x: arrays [B, T, ...], of which row b reads the first lengths[b] tokens.
    lengths: the lengths, 0 .. T each, on the host.
    state: the memory before the first token; not donated.
    piece_size: tokens of the largest piece, a power of 2.

  Returns:
    The last output of each row, y without its time axis and zeros for length 0; and the
    memory after each row's last token.

  Raises:
    ValueError: if a length is not in 0 .. T, or `piece_size` is no power of 2.
  """
  remaining = np.array(lengths, np.int64)  # [B]
  rows, length = jax.tree.leaves(x)[0].shape[:2]
  if remaining.shape != (rows,) or ((remaining < 0) | (remaining > length)).any():
    raise ValueError(
      f"lengths are {remaining.tolist()}: {rows} of 0 .. {length} expected"
    )
  if piece_size < 1 or piece_size & (piece_size - 1):
    raise ValueError(f"piece_size is {piece_size}: it must be a power of 2")
  token = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct((rows, 1, *a.shape[2:]), a.dtype), x
  )
  y = jax.eval_shape(f, token, state)[0]
  last = jax.tree.map(lambda a: jnp.zeros((rows, *a.shape[2:]), a.dtype), y)
  at, size = np.zeros_like(remaining), piece_size
  while size:
    reads = remaining >= size  # [B], the rows that have a piece of this size
    if not reads.any():
      size //= 2
      continue
    # clipped, as rows without a piece may be at their end
    index = np.minimum(at[:, None] + np.arange(size), length - 1)  # [B, size]
    piece = jax.tree.map(lambda a: a[np.arange(rows)[:, None], index], x)  # noqa: B023
    y, new = f(piece, state)
    last, state = _select(reads, y, new, last, state)
    at, remaining = at + size * reads, remaining - size * reads
  return last, state


@jax.jit
def _select(reads: Bool[Array, " B"], y, new, last, state):
  """Takes the new output and state for the rows that read, the old for the others."""
  newest = jax.tree.map(lambda a: a[:, -1], y)  # [B, ...]
  return scan.where_row(reads, (newest, new), (last, state))
