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
  """Returns all windows of a table in epochs, as batches of `collate`.

  Args:
    values: the table.
    sizes: T and H, the steps that are read and the steps that are forecast.
    batch_size: windows of a step over all processes.
    seed: decides the order.
    process: index and count of the processes that share the rows.
  """
  decides = ("jaxmem windows 1", sizes, seed, batch_size)
  index, count = process
  windows = len(values) - sum(sizes) + 1  # one starts at every row that leaves T + H
  return Rows(
    Epochs(windows, batch_size, seed, process_index=index, process_count=count),
    lambda starts, _: collate(values, starts, sizes),
    fingerprint(decides, [values.tobytes()]),
  )


def collate(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> Batch:
  """Returns windows of a table, the steps after each, and weights of 1.

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
  """Returns windows of T steps and the H steps after each, float32."""
  index = starts[:, None] + np.arange(sum(sizes))  # [B, T + H]
  both = values[index].astype(np.float32)  # [B, T + H, C]
  return both[:, : sizes[0]], both[:, sizes[0] :]


def to_the_end(
  values: Float[np.ndarray, "N C"],
  starts: Int[np.ndarray, " B"],
  sizes: tuple[int, int],
) -> tuple[
  Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"], Int[np.ndarray, " B"]
]:
  """Returns windows of T steps, the H after each, and how many of those H exist.

  Steps after the end of the table repeat its last row.
  """
  length, horizon = sizes
  index = starts[:, None] + np.arange(length + horizon)  # [B, T + H]
  # clipped, so that every window has one shape; `num_real` says what to ignore
  both = values[np.minimum(index, len(values) - 1)]  # [B, T + H, C]
  num_real = np.minimum(len(values) - starts - length, horizon)  # [B]
  return both[:, :length], both[:, length:], num_real
