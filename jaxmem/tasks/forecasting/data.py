"""Tables of numbers over time: a delimited file as an array, checked cell by cell.

A column that says when a row was, or numbers the rows, is recognised (`times`),
checked to rise in equal steps, and left out. What is no table of one column a series is
refused by name: one without a header, several series below one another, series that
begin or end before others.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.core.errors import DataError, shown
from jaxmem.data import opened, tables
from jaxmem.tasks.forecasting import decimals, long_format, times

Header = Literal["auto", "yes", "no"]
Gaps = Literal["stop", "keep"]
# Parts of a date that calendars are kept in; two of them are a time in several columns.
_PARTS = frozenset("year month day hour minute".split())


class Series(NamedTuple):
  """Rows in the order of time.

  Attributes:
    values: [T, C], float64, all finite.
    names: of the columns.
    notes: what was recognised, in words.
  """

  values: Float[np.ndarray, "T C"]
  names: tuple[str, ...]
  notes: tuple[str, ...] = ()


class Cells(NamedTuple):
  """A table as text.

  Attributes:
    path: of the file.
    names: of the columns.
    columns: their cells.
    lines: on which rows stand in the file, from 1.
  """

  path: Path
  names: tuple[str, ...]
  columns: list[tuple[str, ...]]
  lines: list[int]


def read(
  path: str | Path, columns: str = "", header: Header = "auto", gaps: Gaps = "stop"
) -> Series:
  """The numbers of a delimited file, which may be compressed.

  Args:
    path: the file.
    columns: names apart by commas; empty takes all but those that say when.
    header: whether the first row has names; "auto" finds out, and refuses a first row
      that looks like the others. Without names columns are called 1, 2, ...
    gaps: "stop" refuses rows that are not equally far apart, "keep" takes them as if
      they were.

  Raises:
    DataError: if it cannot be read, a column is not there, times do not rise, or a cell
      is no finite number; names the file, the row and the column.
  """
  cells = _cells(opened.plain_path(path), header)
  chosen = _chosen(cells, columns)
  when, used = _when(cells, chosen)
  taken = chosen or [
    j for j in range(len(cells.names)) if j not in used and not _is_empty(cells, j)
  ]
  long_format.check(cells, when, "text" in used.values())
  if not chosen:
    _check_parts(cells, taken)
  notes = _checked(cells, when, used, gaps)
  if not taken:
    raise DataError(
      f"{path} has no column of numbers beside {', '.join(map(repr, cells.names))}: "
      "put commas, semicolons, tabs or bars between cells, or name what is a series in "
      "task.columns"
    )
  if nameless := [j + 1 for j in taken if not cells.names[j]]:
    raise DataError(f"{path}: column {nameless[0]} has no name: write one above it")
  values, has_comma = _numbers(cells, taken)
  if has_comma:
    notes.append("numbers have a decimal comma")
  return Series(values, tuple(cells.names[j] for j in taken), tuple(notes))


def _cells(path: Path, header: Header) -> Cells:
  if not path.exists():
    raise DataError(
      f"no file {path}: give a CSV file with a header; ETT is at "
      "https://github.com/zhouhaoyi/ETDataset (ETT-small)"
    )
  rows = _rows(path)
  first = rows[0].cells
  if header == "auto" and _is_data(first, rows[min(1, len(rows) - 1)].cells):
    shown = ", ".join(cell.strip() for cell in first[:4])
    raise DataError(
      f"{path} has no header: its first row is {shown!r}, like the second. Write "
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
  """All rows, none of them bad; at least one."""
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
    if table.delimiter == "\t":  # whose quotes are characters; none is of a number
      row = row._replace(cells=[_unquoted(cell) for cell in row.cells])
    rows.append(row)
  return rows


def _unquoted(cell: str) -> str:
  quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
  return cell[1:-1] if quoted else cell


def _is_data(first: Sequence[str], second: Sequence[str]) -> bool:
  """Whether the first row is one of numbers, cell by cell of the kind of the second."""
  kinds = [tuple(map(_kind, row)) for row in (first, second)]
  return kinds[0] == kinds[1] and "number" in kinds[0]


def _kind(cell: str) -> str:
  if decimals.is_missing(cell):
    return "missing"
  if any(decimals.number(cell, has_comma) is not None for has_comma in (False, True)):
    return "number"
  return "time" if times.find("", [cell], False) else "text"


def _chosen(cells: Cells, columns: str) -> list[int]:
  """The columns that were asked for; none is empty."""
  if not columns.strip():
    return []
  asked = [name.strip() for name in next(csv.reader([columns], skipinitialspace=True))]
  for i, name in enumerate(asked):
    if name not in cells.names:
      raise DataError(
        f"{cells.path} has no column {name!r}, only {', '.join(cells.names)}: change "
        "task.columns"
      )
    if name in asked[:i]:
      raise DataError(f"task.columns names {name!r} twice: name it once")
  return [cells.names.index(name) for name in asked]


def _when(cells: Cells, chosen: list[int]) -> tuple[times.Times | None, dict[int, str]]:
  """When rows were, and the columns that say so or number rows, with what they are."""
  when, used = None, {}
  for j, (name, column) in enumerate(zip(cells.names, cells.columns, strict=True)):
    if j in chosen:
      continue
    found = times.find(name, column, j == 0)
    after = cells.columns[j + 1] if j + 1 < len(cells.columns) else ()
    if found and found.kind == "time" and after and times.is_clock(after):
      both = [
        f"{date.strip()} {clock.strip().replace('.', ':')}"
        for date, clock in zip(column, after, strict=True)
      ]
      if joined := times.find(name, both, False):
        found, used[j + 1] = joined, "time of day"
    if found:
      used[j] = found.kind
      # a date before an index, an index before nothing
      if when is None or (when.kind, found.kind) == ("index", "time"):
        when = found
    elif j == 0 and _is_text(column):
      used[j] = "text"  # of any kind: its order is not known
  return when, used


def _checked(
  cells: Cells, when: times.Times | None, used: dict[int, str], gaps: Gaps
) -> list[str]:
  """What was recognised, after times were found to rise in equal steps."""
  notes = [
    f"column {cells.names[j]!r} is left out: {what}" for j, what in sorted(used.items())
  ]
  if when is None:
    if used:
      notes[0] += ", whose order is not checked"
    return notes
  row = lambda i: f"{cells.path} row {cells.lines[i]}"
  if when.bad is not None:
    raise DataError(
      f"{row(when.bad)}: {when.shown[when.bad]!r} is no time like those of other rows: "
      "mend it"
    )
  if fault := times.first_fault(when):
    raise DataError(
      f"{row(fault[0])}: {fault[1]}: sort the rows by time and keep one of each; if "
      "the column is a series, name it in task.columns"
    )
  if fault := times.gap(when):
    if gaps == "stop":
      raise DataError(
        f"{row(fault[0])}, a gap: {fault[1]}. Fill the rows that are missing, or set "
        "task.gaps keep to take rows as equally far apart"
      )
    notes.append(f"gaps are kept, the first at row {cells.lines[fault[0]]}")
  if len(cells.lines) > 1:
    notes.append(f"rows are {times.usual_step(when)} apart")
  return notes


def _check_parts(cells: Cells, taken: list[int]) -> None:
  parts = [cells.names[j] for j in taken if cells.names[j].lower() in _PARTS]
  if len(parts) > 1:
    raise DataError(
      f"{cells.path} has a time in several columns ({', '.join(parts)}): join them in "
      "one, or name the series with task.columns"
    )


def _numbers(cells: Cells, taken: list[int]) -> tuple[np.ndarray, bool]:
  """The values, and whether they have a decimal comma."""
  has_comma = decimals.comma(cell for j in taken for cell in cells.columns[j])
  values = np.empty((len(cells.lines), len(taken)))
  for k, j in enumerate(taken):
    for i, cell in enumerate(cells.columns[j]):
      value = decimals.number(cell, has_comma)
      if value is None:
        raise DataError(_why(cells, i, j))
      values[i, k] = value
  return values, has_comma


def _why(cells: Cells, i: int, j: int) -> str:
  """Why a cell is no number."""
  column, name = cells.columns[j], cells.names[j]
  missing = [decimals.is_missing(cell) for cell in column]
  place = f"{cells.path} row {cells.lines[i]}, column {name!r}"
  if missing[i] and not all(missing):
    if all(missing[i:]):
      return (
        f"{place} is {column[i]!r}, and no number follows: the series are of unequal "
        "length. Fill what is missing, cut all series to the rows that they share, or "
        "leave the column out with task.columns"
      )
    first = missing.index(False)
    if i < first:
      return (
        f"{place} is {column[i]!r}, and its first number is in row "
        f"{cells.lines[first]}: the series are of unequal length. Fill what is "
        "missing, cut all series to the rows that they share, or leave the column out "
        "with task.columns"
      )
  return f"{place} is {shown(column[i])}: {decimals.wrong(column[i])}"


def _is_empty(cells: Cells, j: int) -> bool:
  """Whether a column is what a delimiter at the end of every row leaves."""
  return not cells.names[j] and not any(cell.strip() for cell in cells.columns[j])


def _is_text(cells: Sequence[str]) -> bool:
  """Whether a column has no numbers, nor what was meant to be one ("5 %", "1_000")."""
  meant = any(map(decimals.is_meant, cells[:50]))
  return not meant and _kind(cells[0]) not in ("number", "missing")
