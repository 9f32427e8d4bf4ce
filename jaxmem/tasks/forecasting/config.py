"""The config of forecasting: a table over time, its parts and its windows."""

import dataclasses
import math
import re
from fractions import Fraction

from jaxmem.core.errors import ConfigError, DataError
from jaxmem.core.ranges import number
from jaxmem.tasks.forecasting import cells, data
from jaxmem.tasks.forecasting.covariates import Names, parse


@dataclasses.dataclass(frozen=True)
class SeriesConfig:
  """The config of a forecasting task: a table over time.

  Attributes:
    source: a delimited file (CSV, TSV, ...), which may be compressed; a column of
      times or row numbers is recognised, checked and left out.
    columns: names separated by commas; empty takes all columns that hold numbers, or in
      long format "y" if there is one.
    header: whether the first row has the names of the columns; "auto" decides by the
      cells.
    gaps: "stop" refuses rows that are not equally far apart and missing cells, "keep"
      ignores gaps; "forward" (the last number), "linear" (the line between the numbers
      around) and "zero" fill missing rows and cells.
    rows: sizes of the training, the held-out and the test part, in the order of time:
      three counts, or three fractions such as 0.7,0.1,0.2; remaining rows are not used.
      In long format they are fractions of each series.
    segment_length: T, steps that a forecast reads.
    batch_size: windows of a step.
    season: steps of a period, for the seasonal naive forecast.
    series: the column that names the series of each row, such as unique_id, in a table
      of long format (`unique_id, ds, y`), whose series may be of unequal length; empty
      is a table with a column for each series.
    past_covariates: columns, separated by commas, that help to forecast and are not
      forecast, such as sales of another shop: known up to the present.
    future_covariates: columns that are known over the horizon too, such as holidays,
      prices and the day of the week.
  """

  source: str = "data/ETTh1.csv"
  columns: str = ""
  header: cells.Header = "auto"
  gaps: data.Gaps = "stop"
  rows: str = "8640,2880,2880"
  segment_length: int = number(336, at_least=1)
  batch_size: int = number(32, at_least=1)
  season: int = number(24, at_least=1)
  series: str = ""
  past_covariates: str = ""
  future_covariates: str = ""

  def covariates(self) -> Names:
    """Returns the names of the covariates.

    Raises:
      ConfigError: if one column is named for two uses.
    """
    return parse(self.past_covariates, self.future_covariates, self.columns)

  def parts(self, count: int) -> tuple[int, int, int]:
    """Returns the number of rows of the training, held-out and test part.

    Fractions are rounded down. If they sum to 1, the rows that rounding leaves over
    join the held-out part.

    Args:
      count: rows of the table.

    Raises:
      ConfigError: if `rows` are neither three counts nor three fractions.
      DataError: if the table has fewer rows.
    """
    parts = self.shares()
    if any(part.denominator > 1 for part in parts):
      train, heldout, test = (math.floor(part * count) for part in parts)
      return train, count - train - test if sum(parts) == 1 else heldout, test
    if sum(parts) > count:
      raise DataError(
        f"{self.source} has {count:,} rows and task.rows names {int(sum(parts)):,}: "
        "lower them, or give fractions"
      )
    train, heldout, test = map(int, parts)
    return train, heldout, test

  def shares(self) -> tuple[Fraction, ...]:
    """Returns `rows` as three whole numbers or three fractions.

    Raises:
      ConfigError: if `rows` is anything else.
    """
    words = [word.strip() for word in self.rows.split(",")]
    # exact: 0.7 + 0.1 + 0.2 is 1 as fractions and not as floats
    unsigned = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}", re.ASCII)
    parts = [Fraction(w) for w in words if unsigned.fullmatch(w)]
    if len(words) != 3 or len(parts) != 3 or not all(parts):
      raise ConfigError(
        f"task.rows is {self.rows!r}: three numbers above 0 expected, counts as in "
        "8640,2880,2880 or fractions as in 0.7,0.1,0.2"
      )
    if self.series and all(part.denominator == 1 for part in parts):
      raise ConfigError(
        f"task.rows is {self.rows!r}, counts, and the series of a table in long format "
        "are of unequal length: give fractions such as 0.7,0.1,0.2"
      )
    if any(part.denominator > 1 for part in parts) and sum(parts) > 1:
      raise ConfigError(
        f"task.rows is {self.rows!r}: fractions sum to {float(sum(parts)):g}, which is "
        "more than 1"
      )
    return tuple(parts)
