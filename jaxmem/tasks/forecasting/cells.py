"""A delimited file of numbers over time as text: its rows and the names of columns."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import opened, tables
from jaxmem.tasks.forecasting import decimals, times

Header = Literal["auto", "yes", "no"]


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


def read(path: str | Path, header: Header = "auto") -> Cells:
  """Reads a delimited file, which may be compressed.

  Args:
    path: the file.
    header: see `data.read`.

  Raises:
    DataError: if it is no table with names and rows; names the file and the row.
  """
  path = opened.plain_path(path)
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
  kinds = [tuple(map(kind, row)) for row in (first, second)]
  return kinds[0] == kinds[1] and "number" in kinds[0]


def split_names(text: str) -> list[str]:
  """Returns names that commas separate; a name with a comma is quoted."""
  if not text.strip():
    return []
  return [name.strip() for name in next(csv.reader([text], skipinitialspace=True))]


def column_indices(cells: Cells, names: Sequence[str], option: str) -> list[int]:
  """Returns the indices of named columns.

  Args:
    cells: the table.
    names: the names.
    option: the option that has them, for messages.

  Raises:
    DataError: if there is no column of a name, or a name stands twice.
  """
  for i, name in enumerate(names):
    if name not in cells.names:
      raise DataError(
        f"{cells.path} has no column {name!r}, only {', '.join(cells.names)}: change "
        f"{option}"
      )
    if name in names[:i]:
      raise DataError(f"{option} names {name!r} twice: name it once")
  return [cells.names.index(name) for name in names]


def kind(cell: str) -> str:
  """Returns "missing", "number", "time" or "text"."""
  if decimals.is_missing(cell):
    return "missing"
  if any(decimals.number(cell, has_comma) is not None for has_comma in (False, True)):
    return "number"
  return "time" if times.find("", [cell], False) else "text"
