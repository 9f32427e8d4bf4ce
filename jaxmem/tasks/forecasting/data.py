"""Tables of numbers over time: a delimited file as an array, checked cell by cell.

A column of times or of row numbers is recognised (`times`), checked to rise in equal
steps, and left out. A file that is not a table with one column a series is refused with
its reason: it has no header, it has several series below one another, or its series
begin or end at different rows.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.core.errors import DataError, shown
from jaxmem.data import tables
from jaxmem.tasks.forecasting import decimals, long_format, times

Header = Literal["auto", "yes", "no"]
Gaps = Literal["stop", "keep"]
# Names of columns with one part of a date; two of them are a time in several columns.
_PARTS = frozenset("year month day hour minute".split())


class Series(NamedTuple):
  """The numbers of a table, with rows in the order of time.

  Attributes:
    values: [T, C], float64, all finite.
    names: names of the columns.
    notes: sentences on the columns that were recognised.
  """

  values: Float[np.ndarray, "T C"]
  names: tuple[str, ...]
  notes: tuple[str, ...] = ()


class Cells(NamedTuple):
  """A table as text.

  Attributes:
    path: path of the file.
    names: names of the columns.
    columns: cells of each column.
    lines: line of the file that each row is on, from 1.
  """

  path: Path
  names: tuple[str, ...]
  columns: list[tuple[str, ...]]
  lines: list[int]


def read(
  path: Path, columns: str = "", header: Header = "auto", gaps: Gaps = "stop"
) -> Series:
  """Reads the numbers of a delimited file, which may be compressed.

  Args:
    path: the file.
    columns: names separated by commas; empty takes all columns but those of times.
    header: whether the first row has names. "auto" decides by the cells and refuses a
      first row that looks like the others. Columns without names are called 1, 2, ...
    gaps: "stop" refuses rows that are not equally far apart, "keep" ignores gaps.

  Raises:
    DataError: if the file cannot be read, a column is missing, times do not rise, or a
      cell has no finite number; the message names the file, the row and the column.
  """
  cells = _cells(Path(path), header)
  chosen = _chosen(cells, columns)
  when, roles = _when(cells, chosen)
  series = chosen or [
    j for j in range(len(cells.names)) if j not in roles and not _is_empty(cells, j)
  ]
  long_format.check(cells, when, "text" in roles.values())
  if not chosen:
    _check_parts(cells, series)
  notes = _checked(cells, when, roles, gaps)
  if not series:
    raise DataError(
      f"{path} has no column of numbers besides {', '.join(map(repr, cells.names))}: "
      "put commas, semicolons, tabs or bars between cells, or name what is a series in "
      "task.columns"
    )
  if nameless := [j + 1 for j in series if not cells.names[j]]:
    raise DataError(f"{path}: column {nameless[0]} has no name: write one above it")
  values, has_comma = _numbers(cells, series)  # [T, C]
  if has_comma:
    notes.append("numbers have a decimal comma")
  return Series(values, tuple(cells.names[j] for j in series), tuple(notes))


def _cells(path: Path, header: Header) -> Cells:
  """Returns the table as text, with the names of its columns."""
  if not path.exists():
    raise DataError(
      f"no file {path}: give a CSV file with a header; ETT is at "
      "https://github.com/zhouhaoyi/ETDataset (ETT-small)"
    )
  rows = _rows(path)
  first = rows[0].cells
  if header == "auto" and _is_data(first, rows[min(1, len(rows) - 1)].cells):
    beginning = ", ".join(cell.strip() for cell in first[:4])
    raise DataError(
      f"{path} has no header: its first row is {beginning!r}, like the second. Write "
      "names above, or set task.header no; if these are names, set task.header yes"
    )
  if header == "no":
    names = tuple(str(i + 1) for i in range(len(first)))
  else:
    names, rows = tuple(cell.strip() for cell in first), rows[1:]
  if not rows:
    raise DataError(f"{path} has a header and no rows: give a table of numbers")
  twice = next((n for i, n in enumerate(names) if n and n in names[:i]), None)
  if twice is not None:
    raise DataError(f"{path} has the column {twice!r} twice: rename one of them")
  columns = list(zip(*(row.cells for row in rows), strict=True))
  return Cells(path, names, columns, [row.line for row in rows])


def _rows(path: Path) -> list[tables.Row]:
  """Returns all rows, at least one; raises DataError at the first bad row."""
  table = tables.read(path, header=False)
  rows = []
  for row in table.rows:
    beginning = row.cells[0].strip()[:20] if row.cells and not rows else ""
    if beginning.startswith("#"):
      raise DataError(
        f"{path} row {row.line} begins with {beginning!r}, a comment or the header of "
        "another format: delete such lines, so that the names of the columns are first"
      )
    if beginning.startswith(("{", "[", "@")):
      raise DataError(
        f"{path} begins with {beginning!r}, which is no table: give rows of cells, a "
        "column for each series"
      )
    if row.fault:
      raise DataError(f"{path} row {row.line} {row.fault}")
    # tables with tabs keep quotes as characters, but no number has one
    if table.delimiter == "\t":
      row = row._replace(cells=[_unquoted(cell) for cell in row.cells])
    rows.append(row)
  return rows


def _unquoted(cell: str) -> str:
  quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
  return cell[1:-1] if quoted else cell


def _is_data(first: Sequence[str], second: Sequence[str]) -> bool:
  """Returns whether the first row has numbers and the same kinds as the second."""
  kinds = [tuple(map(_kind, row)) for row in (first, second)]
  return kinds[0] == kinds[1] and "number" in kinds[0]


def _kind(cell: str) -> str:
  """Returns "missing", "number", "time" or "text"."""
  if decimals.is_missing(cell):
    return "missing"
  if any(decimals.number(cell, has_comma) is not None for has_comma in (False, True)):
    return "number"
  return "time" if times.find("", [cell], False) else "text"


def _chosen(cells: Cells, columns: str) -> list[int]:
  """Returns the indices of the columns of `task.columns`; [] if it is empty."""
  if not columns.strip():
    return []
  # csv, so that a name with a comma can be quoted
  names = [name.strip() for name in next(csv.reader([columns], skipinitialspace=True))]
  for i, name in enumerate(names):
    if name not in cells.names:
      raise DataError(
        f"{cells.path} has no column {name!r}, only {', '.join(cells.names)}: change "
        "task.columns"
      )
    if name in names[:i]:
      raise DataError(f"task.columns names {name!r} twice: name it once")
  return [cells.names.index(name) for name in names]


def _when(cells: Cells, chosen: list[int]) -> tuple[times.Times | None, dict[int, str]]:
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
    if candidate and candidate.kind == "time" and after and times.is_clock(after):
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
        "that are missing, or set task.gaps keep to take rows as equally far apart"
      )
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


def _numbers(cells: Cells, series: list[int]) -> tuple[np.ndarray, bool]:
  """Returns the values [T, C], and whether they have a decimal comma."""
  has_comma = decimals.comma(cell for j in series for cell in cells.columns[j])
  values = np.empty((len(cells.lines), len(series)))  # [T, C]
  for k, j in enumerate(series):
    for i, cell in enumerate(cells.columns[j]):
      value = decimals.number(cell, has_comma)
      if value is None:
        raise DataError(_why(cells, i, j))
      values[i, k] = value
  return values, has_comma


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
      "what is missing, cut all series to the rows that they share, or leave the "
      "column out with task.columns"
    )
  return f"{where} is {shown(column[i])}: {decimals.wrong(column[i])}"


def _is_empty(cells: Cells, j: int) -> bool:
  """Returns whether a column is empty, as a delimiter at the end of rows leaves it."""
  return not cells.names[j] and not any(cell.strip() for cell in cells.columns[j])


def _is_text(cells: Sequence[str]) -> bool:
  """Returns whether no cell is a number or was meant to be one ("5 %", "1_000")."""
  meant = any(map(decimals.is_meant, cells[:50]))
  return not meant and _kind(cells[0]) not in ("number", "missing")
