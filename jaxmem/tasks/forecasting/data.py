"""Tables of numbers over time: a delimited file as an array, checked cell by cell.

A column of times or of row numbers is recognised (`times`), checked to rise in equal
steps, and left out. A file that is not a table with one column a series is refused with
its reason: it has no header, it has several series below one another, or its series
begin or end at different rows.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.core.errors import DataError, shown
from jaxmem.tasks.forecasting import decimals, long_format, times
from jaxmem.tasks.forecasting.cells import (
  Cells,
  Header,
  column_indices,
  kind,
  split_names,
)
from jaxmem.tasks.forecasting.cells import read as read_cells
from jaxmem.tasks.forecasting.covariates import NONE, Names
from jaxmem.tasks.forecasting.gaps import FILLS, LARGEST, fill, places, spread

Gaps = Literal["stop", "keep", "forward", "linear", "zero"]
# Names of columns with one part of a date; two of them are a time in several columns.
_PARTS = frozenset("year month day hour minute".split())


class Series(NamedTuple):
  """The numbers of a table, with rows in the order of time.

  Attributes:
    values: [T, C], float64, all finite.
    names: names of the columns.
    notes: sentences on the columns that were recognised.
    filled: how many rows have a number that a rule has filled in.
  """

  values: Float[np.ndarray, "T C"]
  names: tuple[str, ...]
  notes: tuple[str, ...] = ()
  filled: int = 0


def read(
  path: str | Path,
  columns: str = "",
  header: Header = "auto",
  gaps: Gaps = "stop",
  covariates: Names = NONE,
) -> Series:
  """Reads the numbers of a delimited file, which may be compressed.

  Args:
    path: the file.
    columns: names separated by commas; empty takes all columns but those of times.
    header: whether the first row has names. "auto" decides by the cells and refuses a
      first row that looks like the others. Columns without names are called 1, 2, ...
    gaps: "stop" refuses rows that are not equally far apart, "keep" ignores gaps; the
      others fill missing rows and cells, see `gaps.fill`.
    covariates: names of further columns, which come last.

  Raises:
    DataError: if the file cannot be read, a column is missing, times do not rise, or a
      cell has no finite number; the message names the file, the row and the column.
  """
  cells = read_cells(path, header)
  chosen = column_indices(cells, split_names(columns), "task.columns")
  covariate_columns = covariates.indices(cells)
  when, roles = find_times(cells, [*chosen, *covariate_columns])
  long_format.check(cells, when, "text" in roles.values())
  series = (
    series_columns(cells, chosen, [*roles, *covariate_columns]) + covariate_columns
  )
  has_comma = decimals.comma(cell for j in series for cell in cells.columns[j])
  table = of_cells(cells, (series, when, roles), gaps, has_comma)
  return table._replace(
    notes=(*table.notes, *more_notes(table.filled, gaps, has_comma))
  )


def more_notes(filled: int, gaps: Gaps, has_comma: bool) -> list[str]:
  """Returns the notes on a whole table, which follow those on its columns of times."""
  notes = [f"missing rows and cells are filled ({gaps}) in {filled:,} rows"]
  return notes * bool(filled) + ["numbers have a decimal comma"] * has_comma


def of_cells(
  cells: Cells,
  columns: tuple[list[int], times.Times | None, dict[int, str]],
  gaps: Gaps,
  has_comma: bool,
) -> Series:
  """Returns the numbers of cells whose columns are known.

  Args:
    cells: the rows of one table, or of one series of a table in long format.
    columns: the columns of numbers, the times, and column -> role of those left out.
    gaps: see `read`.
    has_comma: whether numbers have a decimal comma.

  Raises:
    DataError: if times do not rise, there is a gap, or a cell has no finite number.
  """
  series, when, roles = columns
  notes = _checked(cells, when, roles, gaps)
  values = _spread(_numbers(cells, series, has_comma, gaps), cells, when, gaps)
  filled = int(np.isnan(values).any(1).sum())
  values = fill(values, gaps) if filled else values  # [T, C]
  return Series(values, tuple(cells.names[j] for j in series), tuple(notes), filled)


def series_columns(cells: Cells, chosen: list[int], others: list[int]) -> list[int]:
  """Returns the columns that are forecast: those chosen, or all besides the others.

  Raises:
    DataError: if there is none, one has no name, or several are parts of one date.
  """
  series = chosen or [
    j for j in range(len(cells.names)) if j not in others and not _is_empty(cells, j)
  ]
  if not chosen:
    _check_parts(cells, series)
  if not series:
    names = ", ".join(map(repr, cells.names))
    raise DataError(
      f"{cells.path} has no column of numbers besides {names}: put commas, semicolons, "
      "tabs or bars between cells, or name what is a series in task.columns"
    )
  if nameless := [j + 1 for j in series if not cells.names[j]]:
    raise DataError(
      f"{cells.path}: column {nameless[0]} has no name: write one above it"
    )
  return series


def find_times(
  cells: Cells, chosen: list[int]
) -> tuple[times.Times | None, dict[int, str]]:
  """Returns the times of the rows or None, and column -> role of those left out.

  Roles are "time", "time of day", "index" and "text".
  """
  when, roles = None, {}
  for j, (name, column) in enumerate(zip(cells.names, cells.columns, strict=True)):
    if j in chosen:  # a column that the user names is a series, whatever it holds
      continue
    candidate = times.find(name, column, j == 0)
    after = cells.columns[j + 1] if j + 1 < len(cells.columns) else ()
    # a column of dates may be followed by one of times of day
    if candidate and candidate.kind == "time" and after and _is_clock(after):
      both = [
        f"{date.strip()} {clock.strip().replace('.', ':')}"
        for date, clock in zip(column, after, strict=True)
      ]
      if joined := times.find(name, both, False):
        candidate, roles[j + 1] = joined, "time of day"
    if candidate:
      roles[j] = candidate.kind
      # dates are preferred to an index, and an index to no times
      if when is None or (when.kind, candidate.kind) == ("index", "time"):
        when = candidate
    elif j == 0 and _is_text(column):
      roles[j] = "text"  # labels, whose order is unknown
  return when, roles


def _checked(
  cells: Cells, when: times.Times | None, roles: dict[int, str], gaps: Gaps
) -> list[str]:
  """Returns notes on the columns of times; raises DataError if a row has a fault."""
  notes = [
    f"column {cells.names[j]!r} is left out: {role}"
    for j, role in sorted(roles.items())
  ]
  if when is None:
    if roles:
      notes[0] += ", whose order is not checked"
    return notes
  if when.bad is not None:
    raise DataError(
      f"{cells.path} row {cells.lines[when.bad]}: {when.cells[when.bad]!r} is no time "
      "like those of other rows: mend it"
    )
  if fault := times.first_fault(when):
    raise DataError(
      f"{cells.path} row {cells.lines[fault[0]]}: {fault[1]}: sort the rows by time "
      "and keep one of each; if the column is a series, name it in task.columns"
    )
  if fault := times.gap(when):
    if gaps == "stop":
      raise DataError(
        f"{cells.path} row {cells.lines[fault[0]]}, a gap: {fault[1]}. Fill the rows "
        "that are missing, set task.gaps keep to take rows as equally far apart, or "
        "forward, linear or zero to have them filled"
      )
    if gaps == "keep":
      notes.append(f"gaps are kept, the first at row {cells.lines[fault[0]]}")
  if len(cells.lines) > 1:
    notes.append(f"rows are {times.usual_step(when)} apart")
  return notes


def _check_parts(cells: Cells, series: list[int]) -> None:
  """Raises DataError if several of the columns are parts of one date."""
  parts = [cells.names[j] for j in series if cells.names[j].lower() in _PARTS]
  if len(parts) > 1:
    raise DataError(
      f"{cells.path} has a time in several columns ({', '.join(parts)}): join them in "
      "one, or name the series with task.columns"
    )


def _numbers(
  cells: Cells, series: list[int], has_comma: bool, gaps: Gaps
) -> Float[np.ndarray, "T C"]:
  """Returns the values; NaN for a cell between two numbers that will be filled."""
  values = np.empty((len(cells.lines), len(series)))  # [T, C]
  for k, j in enumerate(series):
    for i, cell in enumerate(cells.columns[j]):
      value = decimals.number(cell, has_comma)
      if value is None and gaps in FILLS and decimals.is_missing(cell):
        value = np.nan
      if value is None:
        raise DataError(_why(cells, i, j))
      values[i, k] = value
    for i in (0, len(values) - 1):
      if np.isnan(values[i, k]):  # there is no number on one side
        raise DataError(_why(cells, i, j))
  return values


def _spread(
  values: Float[np.ndarray, "T C"],
  cells: Cells,
  when: times.Times | None,
  gaps: Gaps,
) -> Float[np.ndarray, "N C"]:
  """Returns the values with rows of NaN where rows are missing and will be filled."""
  if gaps not in FILLS or when is None or not times.gap(when):
    return values
  rows = places(when)
  if rows is None or rows[-1] >= LARGEST * len(values):
    why = "they are too many" if rows is not None else "a row is beside the usual step"
    raise DataError(
      f"{cells.path}: gaps cannot be filled, {why}: mend the times, or set task.gaps "
      "keep"
    )
  return spread(values, rows)


def _why(cells: Cells, i: int, j: int) -> str:
  """Returns the reason why a cell is no number, and the remedy."""
  column, name = cells.columns[j], cells.names[j]
  # numbers that are missing at one end alone mean series of unequal length
  missing = [decimals.is_missing(cell) for cell in column]
  where = f"{cells.path} row {cells.lines[i]}, column {name!r}"
  first = missing.index(False) if False in missing else i
  if missing[i] and (i < first or (all(missing[i:]) and not all(missing))):
    begin = f"its first number is in row {cells.lines[first]}"
    reason = begin if i < first else "no number follows"
    return (
      f"{where} is {column[i]!r}, and {reason}: the series are of unequal length. Fill "
      "what is missing, cut all series to the rows that they share, or "
      f"{decimals.LEAVE_OUT}"
    )
  return f"{where} is {shown(column[i])}: {decimals.wrong(column[i])}"


def _is_empty(cells: Cells, j: int) -> bool:
  """Returns whether a column is empty, as a delimiter at the end of rows leaves it."""
  return not cells.names[j] and not any(cell.strip() for cell in cells.columns[j])


def _is_text(cells: Sequence[str]) -> bool:
  """Returns whether no cell is a number or was meant to be one ("5 %", "1_000")."""
  meant = any(map(decimals.is_meant, cells[:50]))
  return not meant and kind(cells[0]) not in ("number", "missing")


def _is_clock(cells: Sequence[str]) -> bool:
  """Returns whether a column has only times of day, which complete dates."""
  # hours and minutes have a colon: with a point they would be decimal numbers
  clock = re.compile(r"\s*\d{1,2}([:.]\d{2}[:.]\d{2}|:\d{2})\s*")
  return all(clock.fullmatch(cell) for cell in cells[:50])
