"""Windows of a table over time, and what comes after them, as batches by step."""

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint


def window_rows(
  values: Float[np.ndarray, "N C"],
  sizes: tuple[int, int],
  batch_size: int,
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """All windows of a table in epochs; see `collate`.

  Args:
    values: the table.
    sizes: T and H, steps that are read and that are forecast.
    batch_size: windows of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
  """
  decides = ("jaxmem windows 1", sizes, seed, batch_size)
  return Rows(
    Epochs(len(values) - sum(sizes) + 1, batch_size, seed, *process),
    lambda starts, _: collate(values, starts, sizes),
    fingerprint(decides, [values.tobytes()]),
  )


def collate(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> Batch:
  """Windows of a table, the steps after each, and weights of 1.

  history  float32 [B, T, C]
  future   float32 [B, H, C]
  weights  float32 [B]
  """
  history, future = cut(values, starts, sizes)
  weights = np.ones(len(starts), np.float32)
  return {"history": history, "future": future, "weights": weights}


def cut(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"]]:
  """Windows of T steps and the H after each, float32."""
  at = starts[:, None] + np.arange(sum(sizes))
  both = values[at].astype(np.float32)
  return both[:, : sizes[0]], both[:, sizes[0] :]


def to_the_end(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[
  Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"], Int[np.ndarray, " B"]
]:
  """Windows of T steps, the H after each, and how many of those H there are.

  Steps after the end of the table repeat its last row.
  """
  length, horizon = sizes
  at = starts[:, None] + np.arange(length + horizon)
  both = values[np.minimum(at, len(values) - 1)]
  known = np.minimum(len(values) - starts - length, horizon)
  return both[:, :length], both[:, length:], known
