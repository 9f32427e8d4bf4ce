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
  """All windows of a table in epochs; see `collate`.

  Args:
    values: the table, or several series end to end.
    sizes: T and H, steps that are read and that are forecast.
    batch_size: windows of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
    lengths: rows of each series; empty is one.
  """
  decides = ("jaxmem windows 1", sizes, seed, batch_size)
  if len(lengths) > 1:
    decides = ("jaxmem panel 1", sizes, seed, batch_size, [*map(int, lengths)])
  starts = window_starts(lengths if len(lengths) else [len(values)], sum(sizes))
  return Rows(
    Epochs(len(starts), batch_size, seed, *process),
    lambda windows, _: collate(values, starts[windows], sizes),
    fingerprint(decides, [values.tobytes()]),
  )


def window_starts(
  lengths: Sequence[int] | Int[np.ndarray, " S"], size: int
) -> Int[np.ndarray, " W"]:
  """The first rows of all windows of `size` rows, each inside of one series.

  Args:
    lengths: rows of each series; they stand end to end.
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
  ends: Int[np.ndarray, " B"] | None = None,
) -> tuple[
  Float[np.ndarray, "B T C"], Float[np.ndarray, "B H C"], Int[np.ndarray, " B"]
]:
  """Windows of T steps, the H after each, and how many of those H there are.

  Steps after the end of the table, or of the series of a window, repeat its last row.
  """
  length, horizon = sizes
  ends = np.full(len(starts), len(values)) if ends is None else ends
  at = starts[:, None] + np.arange(length + horizon)
  both = values[np.minimum(at, ends[:, None] - 1)]
  known = np.minimum(ends - starts - length, horizon)
  return both[:, :length], both[:, length:], known
