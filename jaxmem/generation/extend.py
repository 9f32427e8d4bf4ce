"""Extends rows by different lengths, exactly, without padding."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmem.core.typing import State
from jaxmem.ops.recurrence import scan


def extend(
  f: Callable[[Any, State], tuple[Any, State]],
  x: Any,
  lengths: Sequence[int] | Int[np.ndarray, " B"],
  state: State,
  sizes: Sequence[int] = (1024, 64, 1),
) -> tuple[Any, State]:
  """Extends each row by a length of its own, from its present state.

  A row reads pieces of few sizes, the largest first, so few shapes are compiled; it
  keeps its state through the pieces that it has no part in. The pieces do not depend on
  the other rows. The result is exact for every memory, since nothing is padded.

  Cost: less than a largest piece more than the longest row reads, in a shape a size;
  tokens after the last piece of more than one take a call each.

      last, state = extend(f, tokens, [21, 6, 0], state)

  Args:
    f: `(x [B, n, ...], state) -> (y [B, n or 1, ...], state)`; may be jitted. A row
      without a piece gets tokens whose outputs are discarded.
    x: arrays [B, T, ...], of which row b reads the first lengths[b] tokens.
    lengths: the lengths, 0 .. T each, on the host.
    state: the memory before the first token; not donated.
    sizes: tokens of a piece, each a multiple of the next; the lengths are multiples of
      the last.

  Returns:
    The last output of each row, y without its time axis and zeros for length 0; and the
    memory after each row's last token.

  Raises:
    ValueError: if a length is not in 0 .. T or no multiple of the last size, or a size
      is no multiple of the next.
  """
  remaining = np.array(lengths, np.int64)  # [B]
  rows, length = jax.tree.leaves(x)[0].shape[:2]
  if remaining.shape != (rows,) or ((remaining < 0) | (remaining > length)).any():
    raise ValueError(
      f"lengths are {remaining.tolist()}: {rows} of 0 .. {length} expected"
    )
  pairs = zip(sizes[:-1], sizes[1:], strict=True)
  if min(sizes) < 1 or any(size % smaller for size, smaller in pairs):
    raise ValueError(f"sizes are {sizes}: each must be a multiple of the next")
  if (remaining % sizes[-1]).any():
    raise ValueError(f"lengths are {remaining.tolist()}: no multiples of {sizes[-1]}")
  at, last = np.zeros_like(remaining), None
  for size in sizes:
    # which rows have a piece of this size
    while (reads := remaining >= size).any():  # [B]
      # clipped, as rows without a piece may be at their end
      index = np.minimum(at[:, None] + np.arange(size), length - 1)  # [B, size]
      piece = jax.tree.map(lambda a: a[np.arange(rows)[:, None], index], x)  # noqa: B023
      y, new = f(piece, state)
      last = _zeros(y) if last is None else last
      last, state = _select(reads, y, new, last, state)
      at, remaining = at + size * reads, remaining - size * reads
  if last is None:  # nothing is read: the outputs of one token have the shapes
    struct = jax.ShapeDtypeStruct
    token = jax.tree.map(lambda a: struct((rows, 1, *a.shape[2:]), a.dtype), x)
    last = _zeros(jax.eval_shape(f, token, state)[0])
  return last, state


def _zeros(y: Any) -> Any:
  """Returns zeros in the shape of outputs without their time axis."""
  return jax.tree.map(lambda a: np.zeros((a.shape[0], *a.shape[2:]), a.dtype), y)


@jax.jit
def _select(reads: Bool[Array, " B"], y, new, last, state):
  """Takes the new output and state for the rows that read, the old for the others."""
  newest = jax.tree.map(lambda a: a[:, -1], y)  # [B, ...]
  return scan.where_row(reads, (newest, new), (last, state))
