"""Tables of numbers over time: a CSV file as an array, checked cell by cell."""

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.data.errors import DataError


class Series(NamedTuple):
  """Rows in the order of time.

  Attributes:
    values: [T, C], float64, all finite.
    names: of the columns.
  """

  values: Float[np.ndarray, "T C"]
  names: tuple[str, ...]


def read(path: Path, columns: str = "") -> Series:
  """The numbers of a CSV file with a header, which may be gzipped.

  Args:
    path: the file.
    columns: names apart by commas; empty takes all but the first if that is no number
      (a date, say).

  Raises:
    DataError: if it cannot be read, a column is not there, or a cell is no finite
      number; names the file, the row and the column.
  """
  header, *rows = _cells(path)
  if not rows:
    raise DataError(f"{path} has a header and no rows: give a table of numbers")
  if columns:
    missing = [name for name in columns.split(",") if name not in header]
    if missing:
      raise DataError(
        f"{path} has no column {missing[0]!r}, only {', '.join(header)}: change "
        "data.columns"
      )
    taken = [header.index(name) for name in columns.split(",")]
  else:
    taken = list(range(0 if _is_number(rows[0][0]) else 1, len(header)))
  if not taken:
    raise DataError(f"{path} has no column of numbers")
  values = np.empty((len(rows), len(taken)))
  for i, row in enumerate(rows):
    if len(row) != len(header):
      raise DataError(f"{path} row {i + 2} has {len(row)} cells of {len(header)}")
    for j, column in enumerate(taken):
      if not _is_number(row[column]):
        raise DataError(
          f"{path} row {i + 2}, column {header[column]!r} is {row[column]!r}: a finite "
          "number expected; fill what is missing, or leave the column out with "
          "data.columns"
        )
      values[i, j] = float(row[column])
  return Series(values, tuple(header[j] for j in taken))


def _cells(path: Path) -> list[list[str]]:
  opened = gzip.open if path.suffix == ".gz" else open
  try:
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
      rows = [row for row in csv.reader(file) if row]
  except FileNotFoundError as error:
    raise DataError(
      f"no file {path}: give a CSV file with a header; ETT is at "
      "https://github.com/zhouhaoyi/ETDataset (ETT-small)"
    ) from error
  except (OSError, EOFError) as error:
    raise DataError(f"cannot read {path}: {error}; mend the file") from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise DataError(f"{path} is no CSV file in UTF-8: {error}") from error
  if not rows:
    raise DataError(f"{path} is empty: give a CSV file with a header")
  return rows


def _is_number(cell: str) -> bool:
  try:
    return bool(np.isfinite(float(cell)))
  except ValueError:
    return False
