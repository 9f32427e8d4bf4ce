"""Rows of a delimited table: CSV, TSV and the like.

The rows themselves show the delimiter (comma, semicolon, tab or bar); the name of the
file is a hint. A table with tabs has no quotes: a `"` there is a character. Others
quote as RFC 4180 says: a quoted cell may hold delimiters and line breaks, and a doubled
quote stands for one.
"""

import csv
import itertools
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import opened
from jaxmem.data.unpacked import CONVERT

DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_HINTS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
# The first line of some tables of Excel.
_SEP = re.compile(rb'"?sep=([,;|\t])"?\s*[\r\n]', re.IGNORECASE)
# The bytes, and the rows of these, that decide the delimiter.
_SAMPLE, _ROWS = 1 << 16, 50

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default cuts at 131,072


class Row(NamedTuple):
  """A row of a table.

  Attributes:
    line: the line on which it begins, from 1.
    cells: the cells' texts.
    fault: what is wrong with the row; empty if nothing is.
  """

  line: int
  cells: list[str]
  fault: str = ""


class Table(NamedTuple):
  """A delimited table; its rows can be iterated once, and are read meanwhile.

  Attributes:
    where: the file.
    delimiter: what stands between cells.
    header: the names of the columns, None if the table has none.
    rows: the rows below the header; blank lines are no rows.
  """

  where: str
  delimiter: str
  header: tuple[str, ...] | None
  rows: Iterator[Row]


def read(
  file: str | Path | opened.Member,
  encoding: str = "utf-8",
  header: bool | None = True,
) -> Table:
  """Opens the table in a file.

  Args:
    file: anything that `opened.stream` opens.
    encoding: that of a file without a byte-order mark.
    header: whether the first row names the columns; None decides by its cells: it does
      if none of them is a number or begins as a date does.

  Raises:
    DataError: if the file is no text, empty, a name stands twice in the header or a
      column has none. A row with another number of cells than the first, or an open
      quote, has its `fault`.
  """
  name = file.name or file.path if isinstance(file, opened.Member) else file
  with opened.stream(file, encoding) as data:
    head = data.read(_SAMPLE)
  delimiter = _delimiter(head, _HINTS.get(opened.suffix(name), ""))
  rows = _rows(file, encoding, delimiter)
  first = next(rows, None)
  if first is None:
    raise DataError(f"{file} is empty: give a table")
  if first.fault:
    raise DataError(f"{file} line {first.line} {first.fault}")
  if header is None:
    header = not any(map(looks_like_value, first.cells))
  later_rows = _checked(rows, len(first.cells), header)
  if not header:
    return Table(str(file), delimiter, None, itertools.chain([first], later_rows))
  # spaces around a column's name are never meant
  names = tuple(cell.strip() for cell in first.cells)
  _check_names(names, str(file))
  return Table(str(file), delimiter, names, later_rows)


def looks_like_value(cell: str) -> bool:
  """Returns whether a cell is a number or a date, and so hardly a column's name."""
  return number(cell) is not None or bool(
    re.match(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", cell)
  )


def number(cell: str) -> float | None:
  """Returns the finite number that a cell spells in ASCII digits, else None.

  Python's float also reads "1_000", digits of other scripts, "nan" and "inf": in a
  table these are mistakes or gaps.
  """
  cell = cell.strip()
  if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", cell, re.ASCII):
    return None
  value = float(cell)
  return value if math.isfinite(value) else None


def _delimiter(head: bytes, hint: str) -> str:
  """Returns the delimiter that gives rows of one width, preferring the hinted one."""
  if declared := _SEP.match(head):
    return declared[1].decode()
  lines = [line for line in _lines(head) if line.strip()][: _ROWS + 1]
  if len(head) == _SAMPLE and len(lines) > 1:
    lines = lines[:-1]  # the last one may be cut
  if not lines:
    return hint or ","
  order = [hint] * bool(hint) + [d for d in DELIMITERS if d != hint]
  candidates = [d for d in order if d in lines[0]]
  widths = {d: [len(cells) for cells in _parsed(lines, d)] for d in candidates}
  even = [d for d in candidates if len(set(widths[d])) == 1 and widths[d][0] > 1]
  if even:
    return hint if hint in even else max(even, key=lambda d: widths[d][0])
  if hint in candidates or not candidates:
    return hint or ","
  return max(candidates, key=lines[0].count)


def _is_declaration(line: opened.Line) -> bool:
  """Returns whether Excel declares the delimiter in this line."""
  return line.size < 10 and bool(_SEP.match(line.data + line.end))


def _lines(head: bytes) -> list[str]:
  return re.split("\r\n|\r|\n", head.decode(errors="replace"))


def _parsed(lines: list[str], delimiter: str) -> list[list[str]]:
  try:
    rows = list(csv.reader([line + "\n" for line in lines], **_dialect(delimiter)))
  except csv.Error:  # the sample may end inside a quote
    rows = [line.split(delimiter) for line in lines]
  return [row for row in rows if row]


def _dialect(delimiter: str) -> dict:
  if delimiter == "\t":
    return {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
  return {"delimiter": delimiter, "strict": True}


def _rows(file, encoding: str, delimiter: str) -> Iterator[Row]:
  """Yields every row that is not blank; after an open quote nothing follows."""
  with opened.stream(file, encoding) as data:
    lines = (n for n in opened.lines(data) if n.number > 1 or not _is_declaration(n))
    source = _Lines(lines, str(file))
    # An error leaves csv's reader inside the row: a new one begins at the next line.
    reader = csv.reader(source, **_dialect(delimiter))
    while True:
      source.begin()
      try:
        cells = next(reader)
      except StopIteration:
        return
      except csv.Error as error:
        fault = f"is no row of the table: {_explained(str(error))}"
        yield Row(source.first, [], fault)
        reader = csv.reader(source, **_dialect(delimiter))
        continue
      if source.fault:
        yield Row(source.first, [], source.fault)
        reader = csv.reader(source, **_dialect(delimiter))
      elif cells:
        yield Row(source.first, cells)


def _explained(error: str) -> str:
  """Returns what csv's error means, and what to do."""
  if "unexpected end" in error:
    return "its quote is never closed; double a quote that is a character"
  if "expected after" in error:
    return f'{error}; double a quote that is a character: ""'
  return error


class _Lines:
  """Lines as text for `csv`; a bad one ends its row with a fault.

  Attributes:
    first: the line on which the row begins.
    fault: what is wrong with the row; empty if nothing is.
  """

  def __init__(self, lines: Iterator[opened.Line], where: str):
    self._lines, self._where = lines, where
    self.first, self.fault, self._size = 1, "", 0
    self._at = 0

  def begin(self) -> None:
    """Begins a new row on the next line."""
    self.first, self.fault, self._size = self._at + 1, "", 0

  def __iter__(self) -> "_Lines":
    return self

  def __next__(self) -> str:
    line = next(self._lines)
    self._at, self._size = line.number, self._size + line.size
    if line.data is None or self._size > opened.LONGEST:
      self.fault = f"has {self._size:,} bytes in one row: is a quote never closed?"
      raise csv.Error(self.fault)
    try:
      return line.data.decode() + line.end.decode()
    except UnicodeDecodeError as error:
      at = line.offset + error.start
      raise csv.Error(f"it is not UTF-8 at byte {at} of the file: {CONVERT}") from error


def _checked(rows: Iterator[Row], width: int, header: bool) -> Iterator[Row]:
  """Yields the rows; one of another width than the first gets a fault."""
  what = "the header" if header else "the first row"
  for row in rows:
    if not row.fault and not any(cell.strip() for cell in row.cells[width:]):
      row = row._replace(cells=row.cells[:width])  # drops delimiters at the row's end
    if not row.fault and len(row.cells) != width:
      fault = f"has {len(row.cells)} cells, not the {width} of {what}: mend the row"
      row = row._replace(fault=fault)
    yield row


def _check_names(names: tuple[str, ...], where: str) -> None:
  twice = next((n for i, n in enumerate(names) if n and n in names[:i]), None)
  if twice is not None:
    raise DataError(
      f"{where} has the column {twice!r} twice in its header: rename one of them"
    )
