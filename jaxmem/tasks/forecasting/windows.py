"""Windows of a table over time, and what comes after them, as batches by step."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint


class Covariates(NamedTuple):
  """The numbers of covariates, standardised.

  Attributes:
    values: of the same rows as the series; E may be 0.
    num_future: F, how many columns, the last ones, are known over the horizon.
  """

  values: Float[np.ndarray, "N E"]
  num_future: int = 0

  def cut(
    self,
    starts: Int[np.ndarray, " B"],
    sizes: tuple[int, int],
    ends: Int[np.ndarray, " B"] | None = None,
  ) -> Batch:
    """Returns the covariates of windows; a kind that has no column is absent.

    past_covariates    float32 [B, T, E]
    future_covariates  float32 [B, H, F]; nothing else of the horizon is in a batch

    Args:
      starts: first rows of the windows.
      sizes: T and H.
      ends: see `to_the_end`.
    """
    past, future, _ = to_the_end(self.values, starts, sizes, ends)
    future = future[..., future.shape[-1] - self.num_future :]
    kinds = {"past_covariates": past, "future_covariates": future}
    return {name: a.astype(np.float32) for name, a in kinds.items() if a.shape[-1]}


def window_rows(
  values: Float[np.ndarray, "N C"],
  sizes: tuple[int, int],
  batch_size: int,
  seed: int,
  process: tuple[int, int] = (0, 1),
  lengths: Sequence[int] | Int[np.ndarray, " S"] = (),
  covariates: Covariates | None = None,
) -> Rows:
  """Returns all windows of a table in epochs, as batches of `collate`.

  Args:
    values: the table, or several series end to end.
    sizes: T and H, the steps that are read and the steps that are forecast.
    batch_size: windows of a step over all processes.
    seed: decides the order.
    process: index and count of the processes that share the rows.
    lengths: rows of each series; empty is one series.
    covariates: of the same rows.
  """
  decides = ("jaxmem windows 1", sizes, seed, batch_size)
  if len(lengths) > 1:
    decides = ("jaxmem panel 1", sizes, seed, batch_size, [*map(int, lengths)])
  arrays = [values.tobytes()]
  if covariates is not None and covariates.values.shape[1]:
    decides = (*decides, "covariates 1", covariates.num_future)
    arrays.append(covariates.values.tobytes())
  index, count = process
  starts = window_starts(lengths if len(lengths) else [len(values)], sum(sizes))
  return Rows(
    Epochs(len(starts), batch_size, seed, process_index=index, process_count=count),
    lambda windows, _: collate(values, starts[windows], sizes, covariates),
    fingerprint(decides, arrays),
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
  covariates: Covariates | None = None,
) -> Batch:
  """Returns windows of a table, the steps after each, and weights of 1.

  history  float32 [B, T, C]
  future   float32 [B, H, C]
  weights  float32 [B]
  and what `Covariates.cut` returns
  """
  history, future = cut(values, starts, sizes)
  weights = np.ones(len(starts), np.float32)
  batch = {"history": history, "future": future, "weights": weights}
  return batch if covariates is None else batch | covariates.cut(starts, sizes)


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
