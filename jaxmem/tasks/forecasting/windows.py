"""Windows of a table over time, and what comes after them, as batches by step."""

from collections.abc import Sequence

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
  lengths: Sequence[int] | Int[np.ndarray, " S"] = (),
) -> Rows:
  """Returns all windows of a table in epochs, as batches of `collate`.

  Args:
    values: the table, or several series end to end.
    sizes: T and H, the steps that are read and the steps that are forecast.
    batch_size: windows of a step over all processes.
    seed: decides the order.
    process: index and count of the processes that share the rows.
    lengths: rows of each series; empty is one series.
  """
  decides = ("jaxmem windows 1", sizes, seed, batch_size)
  if len(lengths) > 1:
    decides = ("jaxmem panel 1", sizes, seed, batch_size, [*map(int, lengths)])
  index, count = process
  starts = window_starts(lengths if len(lengths) else [len(values)], sum(sizes))
  return Rows(
    Epochs(len(starts), batch_size, seed, process_index=index, process_count=count),
    lambda windows, _: collate(values, starts[windows], sizes),
    fingerprint(decides, [values.tobytes()]),
  )


def window_starts(
  lengths: Sequence[int] | Int[np.ndarray, " S"], size: int
) -> Int[np.ndarray, " W"]:
  """Returns the first rows of all windows, each of which lies inside of one series.

  Args:
    lengths: rows of each series; the series stand end to end.
    size: rows of a window.
  """
  begins = np.cumsum([0, *lengths])[:-1]
  counts = [max(int(length) - size + 1, 0) for length in lengths]
  parts = [begin + np.arange(n) for begin, n in zip(begins, counts, strict=True)]
  return np.concatenate(parts)


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
  ends: Int[np.ndarray, " B"] | None = None,
) -> tuple[
  Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"], Int[np.ndarray, " B"]
]:
  """Returns windows of T steps, the H after each, and how many of those H exist.

  Steps after the end of the table, or of the series of a window, repeat its last row.
  """
  length, horizon = sizes
  ends = np.full(len(starts), len(values)) if ends is None else ends
  index = starts[:, None] + np.arange(length + horizon)  # [B, T + H]
  # clipped, so that every window has one shape; `num_real` says what to ignore
  both = values[np.minimum(index, ends[:, None] - 1)]  # [B, T + H, C]
  num_real = np.minimum(ends - starts - length, horizon)  # [B]
  return both[:, :length], both[:, length:], num_real
