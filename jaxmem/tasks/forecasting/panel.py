"""Many series of unequal length from a table in long format: a row has one of them.

Each series is checked by itself, as a table of its own would be (`data`): its times
rise in equal steps, its gaps are refused or filled, and its cells are numbers.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.core.errors import DataError
from jaxmem.tasks.forecasting import cells as tables
from jaxmem.tasks.forecasting import data, decimals
from jaxmem.tasks.forecasting.cells import Cells, Header
from jaxmem.tasks.forecasting.covariates import NONE, Names

# The column of values, as such tables call it.
VALUE = "y"


class Panel(NamedTuple):
  """Series of one table.

  Attributes:
    values: of each series, [T, C], float64, all finite.
    ids: what names each; one empty name for a table of a column a series.
    names: of the columns.
    notes: what was recognised, in words.
    covariates: of each series, [T, E], all finite.
    covariate_names: of their columns.
  """

  values: tuple[Float[np.ndarray, "T C"], ...]
  ids: tuple[str, ...]
  names: tuple[str, ...]
  notes: tuple[str, ...] = ()
  covariates: tuple[Float[np.ndarray, "T E"], ...] = ()
  covariate_names: Names = NONE


def read(
  path: str | Path,
  series: str = "",
  columns: str = "",
  header: Header = "auto",
  gaps: data.Gaps = "stop",
  covariates: Names = NONE,
) -> Panel:
  """The series of a delimited file, in wide or in long format.

  Args:
    path: the file.
    series: the column that names the series of each row; empty is a table with a column
      for each series, which is one item of the panel.
    columns: see `data.read`; in long format empty is the column "y" if there is one.
    header: see `data.read`.
    gaps: see `data.read`; gaps of covariates are treated alike.
    covariates: names of the columns that are not forecast.

  Raises:
    DataError: see `data.read`; names the row of the file.
  """
  if not series:
    table = data.read(path, columns, header, gaps, covariates)
    return _panel([table.values], ("",), table.names, table.notes, covariates)
  cells = tables.read(path, header)
  groups = _groups(cells, series)
  if not columns.strip() and VALUE in {*cells.names} - {*covariates.columns}:
    columns = VALUE
  longest = _part(cells, series, max(groups.values(), key=len))
  chosen = tables.column_indices(longest, tables.split_names(columns), "task.columns")
  covariate_columns = covariates.indices(longest)
  _, used = data.find_times(longest, [*chosen, *covariate_columns])
  taken = (
    data.series_columns(longest, chosen, [*used, *covariate_columns])
    + covariate_columns
  )
  names = tuple(longest.names[j] for j in taken)
  every = [cells.columns[cells.names.index(name)] for name in names]
  has_comma = decimals.comma(cell for column in every for cell in column)
  values, notes, filled = [], {}, 0
  for group, rows in groups.items():
    part = _part(cells, series, rows)
    when, part_used = data.find_times(part, [*chosen, *covariate_columns])
    if part_used.keys() != used.keys() and len(rows) > 1:
      raise DataError(
        f"{cells.path} row {part.lines[0]}: the times of series {group!r} are not "
        f"written as those of the longest series, in row {longest.lines[0]}: mend them"
      )
    table = data.of_cells(part, (taken, when, part_used), gaps, has_comma)
    values.append(table.values)
    notes[group] = table.notes
    filled += table.filled
  first = notes[max(groups, key=lambda group: len(groups[group]))]
  sizes = [len(rows) for rows in values]
  about = f"column {series!r} names {len(values):,} series of {min(sizes):,} to "
  said = (
    f"{about}{max(sizes):,} rows",
    *first,
    *data.more_notes(filled, gaps, has_comma),
  )
  return _panel(values, tuple(groups), names, said, covariates)


def _panel(
  values: list[np.ndarray],
  ids: tuple[str, ...],
  names: tuple[str, ...],
  notes: tuple[str, ...],
  covariates: Names,
) -> Panel:
  """Returns a panel of tables whose last columns are the covariates."""
  count = len(names) - len(covariates.columns)
  return Panel(
    tuple(rows[:, :count] for rows in values),
    ids,
    names[:count],
    (*notes, *covariates.notes()),
    tuple(rows[:, count:] for rows in values),
    covariates,
  )


def _groups(cells: Cells, series: str) -> dict[str, list[int]]:
  """The rows of each series, in the order in which the series begin."""
  if series not in cells.names:
    raise DataError(
      f"{cells.path} has no column {series!r}, only {', '.join(cells.names)}: change "
      "task.series"
    )
  groups: dict[str, list[int]] = {}
  for i, cell in enumerate(cells.columns[cells.names.index(series)]):
    if not cell.strip():
      raise DataError(
        f"{cells.path} row {cells.lines[i]}, column {series!r} is empty: name the "
        "series, or leave the row out"
      )
    groups.setdefault(cell.strip(), []).append(i)
  return groups


def _part(cells: Cells, series: str, rows: list[int]) -> Cells:
  """Some rows of a table, without the column that names the series."""
  kept = [j for j, name in enumerate(cells.names) if name != series]
  return Cells(
    cells.path,
    tuple(cells.names[j] for j in kept),
    [tuple(cells.columns[j][i] for i in rows) for j in kept],
    [cells.lines[i] for i in rows],
  )
