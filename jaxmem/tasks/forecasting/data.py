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
from jaxmem.tasks.forecasting import decimals, long_format, times
from jaxmem.tasks.forecasting.cells import Cells, Header, kind
from jaxmem.tasks.forecasting.cells import read as read_cells
from jaxmem.tasks.forecasting.gaps import FILLS, LARGEST, fill, spread

Gaps = Literal["stop", "keep", "forward", "linear", "zero"]
# Parts of a date that calendars are kept in; two of them are a time in several columns.
_PARTS = frozenset("year month day hour minute".split())


class Series(NamedTuple):
  """Rows in the order of time.

  Attributes:
    values: [T, C], float64, all finite.
    names: of the columns.
    notes: what was recognised, in words.
    filled: how many rows hold a number that a rule has filled in.
  """

  values: Float[np.ndarray, "T C"]
  names: tuple[str, ...]
  notes: tuple[str, ...] = ()
  filled: int = 0


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
      they were; the others fill missing rows and cells, see `gaps.fill`.

  Raises:
    DataError: if it cannot be read, a column is not there, times do not rise, or a cell
      is no finite number; names the file, the row and the column.
  """
  cells = read_cells(path, header)
  chosen = chosen_columns(cells, columns)
  when, used = find_times(cells, chosen)
  long_format.check(cells, when, "text" in used.values())
  taken = taken_columns(cells, chosen, used)
  has_comma = decimals.comma(cell for j in taken for cell in cells.columns[j])
  series = of_cells(cells, (taken, when, used), gaps, has_comma)
  return series._replace(
    notes=(*series.notes, *more_notes(series.filled, gaps, has_comma))
  )


def more_notes(filled: int, gaps: Gaps, has_comma: bool) -> list[str]:
  """What is said of a whole table beside the notes of its series."""
  notes = [f"missing rows and cells are filled ({gaps}) in {filled:,} rows"]
  return notes * bool(filled) + ["numbers have a decimal comma"] * has_comma


def of_cells(
  cells: Cells,
  columns: tuple[list[int], times.Times | None, dict[int, str]],
  gaps: Gaps,
  has_comma: bool,
) -> Series:
  """The series in cells whose columns are known.

  Args:
    cells: the rows of one table, or of one series of a long one.
    columns: those that are series, the times, and the columns left out with what they
      are.
    gaps: see `read`.
    has_comma: whether numbers have a decimal comma.

  Raises:
    DataError: if times do not rise, there is a gap, or a cell is no finite number.
  """
  taken, when, used = columns
  notes = _checked(cells, when, used, gaps)
  values = _spread(_numbers(cells, taken, has_comma, gaps), cells, when, gaps)
  filled = int(np.isnan(values).any(1).sum())
  values = fill(values, gaps) if filled else values
  return Series(values, tuple(cells.names[j] for j in taken), tuple(notes), filled)


def taken_columns(cells: Cells, chosen: list[int], used: dict[int, str]) -> list[int]:
  """The columns that are series: those chosen, or all that hold numbers.

  Raises:
    DataError: if there is none, one has no name, or a time stands in several.
  """
  taken = chosen or [
    j for j in range(len(cells.names)) if j not in used and not _is_empty(cells, j)
  ]
  if not chosen:
    _check_parts(cells, taken)
  if not taken:
    raise DataError(
      f"{cells.path} has no column of numbers beside "
      f"{', '.join(map(repr, cells.names))}: put commas, semicolons, tabs or bars "
      "between cells, or name what is a series in task.columns"
    )
  if nameless := [j + 1 for j in taken if not cells.names[j]]:
    raise DataError(
      f"{cells.path}: column {nameless[0]} has no name: write one above it"
    )
  return taken


def chosen_columns(cells: Cells, columns: str) -> list[int]:
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


def find_times(
  cells: Cells, chosen: list[int]
) -> tuple[times.Times | None, dict[int, str]]:
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
        f"{row(fault[0])}, a gap: {fault[1]}. Fill the rows that are missing, set "
        "task.gaps keep to take rows as equally far apart, or forward, linear or zero "
        "to have them filled"
      )
    if gaps == "keep":
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


def _numbers(
  cells: Cells, taken: list[int], has_comma: bool, gaps: Gaps
) -> Float[np.ndarray, "T C"]:
  """The values; NaN where a cell between two numbers is missing and will be filled."""
  values = np.empty((len(cells.lines), len(taken)))
  for k, j in enumerate(taken):
    for i, cell in enumerate(cells.columns[j]):
      value = decimals.number(cell, has_comma)
      if value is None and gaps in FILLS and decimals.is_missing(cell):
        value = np.nan
      if value is None:
        raise DataError(_why(cells, i, j))
      values[i, k] = value
    for i in (0, -1):
      if np.isnan(values[i, k]):  # no number on one side
        raise DataError(_why(cells, i % len(values), j))
  return values


def _spread(
  values: Float[np.ndarray, "T C"],
  cells: Cells,
  when: times.Times | None,
  gaps: Gaps,
) -> Float[np.ndarray, "N C"]:
  """The values with rows of NaN where rows are missing, if they will be filled."""
  if gaps not in FILLS or when is None or not times.gap(when):
    return values
  places = times.places(when)
  if places is None or places[-1] >= LARGEST * len(values):
    why = (
      "they are too many" if places is not None else "a row is beside the usual step"
    )
    raise DataError(
      f"{cells.path}: gaps cannot be filled, {why}: mend the times, or set task.gaps "
      "keep"
    )
  return spread(values, places)


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
  return not meant and kind(cells[0]) not in ("number", "missing")
