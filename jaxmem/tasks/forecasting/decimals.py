"""Numbers in the cells of a table: with a point or a comma, or refused by name."""

import re
from collections.abc import Iterable

from jaxmem.data import tables

# Models compute in float32; this is its largest number.
LARGEST = 3.4028234e38
# The remedy for a column that cannot be used.
LEAVE_OUT = "leave the column out with task.columns, or of the covariates if it is one"
_COMMA = re.compile(r"[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}([,.'’ \u00a0\u202f]\d{3})+([,.]\d+)?")
MISSING = frozenset(("", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "?", "-"))


def is_missing(cell: str) -> bool:
  """Returns whether a cell marks a missing number."""
  return cell.strip().lower() in MISSING


def comma(cells: Iterable[str]) -> bool:
  """Returns whether numbers have a decimal comma.

  They have one if some cell can be read in no other way, and no number has a point.
  "1,234" alone may be a thousand, so a column of such numbers decides nothing.

  Args:
    cells: the cells of one or several columns.
  """
  cells = [cell.strip() for cell in cells]
  commas = [cell for cell in cells if "," in cell and _COMMA.fullmatch(cell)]
  if all(map(_THOUSANDS.fullmatch, commas)):
    return False
  return not any("." in cell and tables.number(cell) is not None for cell in cells)


def number(cell: str, has_comma: bool) -> float | None:
  """Returns the finite number of a cell, or None.

  Args:
    cell: the text of the cell.
    has_comma: whether a comma is the decimal mark; see `comma`.
  """
  cell = cell.strip()
  if has_comma:
    cell = cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell
  value = tables.number(cell)
  return None if value is None or abs(value) > LARGEST else value


# Digits with signs around them, and digits with a unit: cells meant as numbers.
_MEANT = re.compile(r"\W*(0[xX][\da-fA-F]+|\d[\d_.,'’\s]*([eE][-+]?\d+)?)\W*")
_UNITS = re.compile(r"[^\d]{0,12}?\d[\d_.,'’\s]*([eE][-+]?\d+)?[^\d]{0,12}")


def is_meant(cell: str) -> bool:
  """Returns whether a cell that does not parse was meant to be a number.

  Such cells are "5%", "$3", "1_000", "0x1f", "1e400" and digits of other scripts.
  """
  dates = re.search(r"\d\.\d+\.\d", cell)  # a date such as 31.01.2024 is not meant
  return bool(_MEANT.fullmatch(cell.strip())) and not dates


def wrong(cell: str) -> str:
  """Returns what is wrong with a cell that has no number, and the remedy."""
  cell = cell.strip()
  value = tables.number(cell)
  if value is not None or re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", cell, re.ASCII):
    return f"a number of float32 expected, at most {LARGEST:.1e} from 0; mend the cell"
  if _COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell):
    return "a decimal comma where other cells have a point; write points alone"
  if _THOUSANDS.fullmatch(cell):
    return (
      "thousands separators, or a decimal comma that cannot be told from them; write "
      "numbers as 1234.5"
    )
  if re.fullmatch(r"[-+]?([\d_]+(\.[\d_]*)?|0[xX][\da-fA-F]+)", cell):
    return "a finite number expected, in the digits 0 to 9 alone"
  if not cell.isalpha() and _UNITS.fullmatch(cell):
    return (
      "a number in the digits 0 to 9 alone expected, without a sign, a unit or "
      "brackets; write 1234.5 or -1234.5"
    )
  return f"a finite number expected; fill what is missing, or {LEAVE_OUT}"
