"""Gaps of a series: rows and cells that are missing, filled by a stated rule."""

import numpy as np
from jaxtyping import Float, Int

from jaxmem.tasks.forecasting.times import Times, relative_steps

FILLS = ("forward", "linear", "zero")
# Rows after filling may be so many times those that there are: a time that was mistyped
# is refused before it fills the memory.
LARGEST = 10


def places(times: Times) -> Int[np.ndarray, " T"] | None:
  """Returns the number of each row on a grid of the usual step.

  It is None if a step is no multiple of the usual one.
  """
  counts = relative_steps(times)
  whole = np.rint(counts)
  if (np.abs(counts - whole) > 1e-3).any() or (whole < 1).any():
    return None
  return np.concatenate([[0], np.cumsum(whole)]).astype(int)


def spread(
  values: Float[np.ndarray, "T C"], places: Int[np.ndarray, " T"]
) -> Float[np.ndarray, "N C"]:
  """Returns rows at their places on a grid, with rows of NaN where none is."""
  rows = np.full((int(places[-1]) + 1, values.shape[1]), np.nan)
  rows[places] = values
  return rows


def fill(values: Float[np.ndarray, "T C"], rule: str) -> Float[np.ndarray, "T C"]:
  """Returns the values without NaN.

      forward  the last number before the gap
      linear   the straight line between the numbers around it
      zero     0

  Args:
    values: the first and the last number of each column are no NaN.
    rule: one of `FILLS`.
  """
  filled = values.copy()
  for column in filled.T:  # views: written in place
    missing = np.isnan(column)
    there = np.flatnonzero(~missing)
    if rule == "zero":
      column[missing] = 0
    elif rule == "forward":
      last = np.maximum.accumulate(np.where(missing, 0, np.arange(len(column))))
      column[missing] = column[last[missing]]
    else:
      column[missing] = np.interp(np.flatnonzero(missing), there, column[there])
  return filled
