"""Standardised series: mean 0 and standard deviation 1 over the training rows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxmem.core.errors import DataError
from jaxmem.tasks.forecasting.decimals import LEAVE_OUT

# A column whose range is smaller, as a share of its largest magnitude, is constant: the
# rounding of sums and of decimal fractions in float64 (eps is 2.2e-16) makes so much.
ROUNDING = 1e-12
# Standard deviations from the mean. Squares of larger values, and their sums, overflow
# float32.
FARTHEST = 1e15


class Standard(NamedTuple):
  """The mean and standard deviation that standardise the columns of a table.

  Attributes:
    mean: mean of the training rows.
    std: standard deviation of the training rows, above 0.
  """

  mean: Float[np.ndarray, " C"]
  std: Float[np.ndarray, " C"]

  def apply(self, values: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "... C"]:
    """Returns (values - mean) / std, which is infinite where float64 overflows."""
    with np.errstate(over="ignore"):
      return (values - self.mean) / self.std

  def back(self, values: Float[np.ndarray, "... C"]) -> Float[np.ndarray, "... C"]:
    """Returns standardised values in the units of the table, float64."""
    return values.astype(np.float64) * self.std + self.mean


def fit(
  rows: Float[np.ndarray, "T C"], names: tuple[str, ...], source: str
) -> Standard:
  """Computes mean and standard deviation of training rows of any magnitude.

  Args:
    rows: the training rows.
    names: names of the columns.
    source: path of the table, for messages.

  Raises:
    DataError: if a column is constant up to rounding; the message names it.
  """
  constant = is_constant(rows)
  if constant.any():
    name = names[int(constant.argmax())]
    raise DataError(
      f"column {name!r} of {source} never changes in the training rows: {LEAVE_OUT}"
    )
  # scaling by powers of two is exact, and squares neither overflow nor vanish
  exponent = np.frexp(np.abs(rows).max(0))[1]
  shares = np.ldexp(rows, -exponent)  # [T, C], at most 1 in magnitude
  return Standard(np.ldexp(shares.mean(0), exponent), np.ldexp(shares.std(0), exponent))


def is_constant(rows: Float[np.ndarray, "T C"]) -> Bool[np.ndarray, " C"]:
  """Returns which columns change by no more than rounding."""
  largest = np.abs(rows).max(0)  # [C]
  # halves, because the range of float64's largest numbers would overflow
  return rows.max(0) / 2 - rows.min(0) / 2 <= ROUNDING * largest / 2


def check_far(
  values: Float[np.ndarray, "T C"], names: tuple[str, ...], source: str
) -> None:
  """Raises DataError if a standardised value is too large for float32's squares."""
  far = ~(np.abs(values) <= FARTHEST)
  if far.any():
    row, column = np.argwhere(far)[0]
    raise DataError(
      f"column {names[column]!r} of {source}, row {row + 1} of the data: it lies "
      f"{np.abs(values[row, column]):.0e} standard deviations from the mean of the "
      f"training rows, more than the {FARTHEST:.0e} that can be computed with: mend "
      f"the cell, or {LEAVE_OUT}"
    )
