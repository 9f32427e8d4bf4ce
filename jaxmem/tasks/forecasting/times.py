"""Columns of times are recognised, and checked to rise in equal steps."""

import calendar
import datetime
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.data import tables

# A column of numbers with one of these names is a time.
NAMES = frozenset(
  "date dates datetime date_time time times timestamp timestamps time_stamp ts ds utc "
  "epoch unix unixtime unix_time time_idx datum zeit".split()
)
# A column of numbers with one of these names is a time if it is the first and rises.
_FIRST = frozenset("t step year month week day hour minute second period".split())
# The first column has row numbers if it counts 0, 1, 2, ... or 1, 2, 3, ...
_ROW_NUMBERS = frozenset("index id idx no no. nr nr. row rownum #".split())
_FORMATS = (
  "%Y/%m/%d",
  "%Y.%m.%d",
  "%Y年%m月%d日",
  "%d.%m.%Y",
  "%m/%d/%Y",
  "%d/%m/%Y",
  "%d-%m-%Y",
  "%m-%d-%Y",
  "%m/%d/%y",
  "%d/%m/%y",
  "%d.%m.%y",
  "%d %b %Y",
  "%d-%b-%Y",
  "%d-%b-%y",
  "%d %B %Y",
  "%b %d, %Y",
  "%B %d, %Y",
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%b-%Y", "%B %Y", "%b-%y")
# Units of Unix times by their size; a Unix time is between the years 1989 and 2128.
_UNIX = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EARLIEST, _LATEST = 600_000_000, 5_000_000_000
_EPOCH = datetime.datetime(1970, 1, 1)
# A column has times if a smaller share of its cells cannot be parsed.
_FEW = 0.25


class Times(NamedTuple):
  """The times of the rows.

  Attributes:
    kind: "time", or "index" of numbers.
    values: seconds since 1970, or the numbers.
    cells: the cells as text, for messages.
    bad: the first row whose cell is no time, or None.
  """

  kind: str
  values: Float[np.ndarray, " T"]
  cells: Sequence[str]
  bad: int | None = None


def find(name: str, cells: Sequence[str], is_first: bool) -> Times | None:
  """Returns the times in a column, or None if it holds something else.

  Dates are recognised in any column. Numbers are times if the column has a name of
  `NAMES`, or if it is the first one and its rising numbers are Unix times, dates such
  as 20240131, or row numbers.

  Args:
    name: name of the column.
    cells: its cells in all rows, at least one.
    is_first: whether it is the first column.
  """
  if any(tables.number(cell) is None for cell in cells[:50]):
    return _dates(cells)
  is_named = name.strip().lower() in NAMES or (is_first and _is_index_name(name))
  if not is_named and not is_first:
    return None
  values = np.array([_float(cell) for cell in cells])
  if not is_named and not _rises(values):
    return None
  bad = np.isnan(values)
  if bad.any():
    return Times("index", values, cells, int(bad.argmax()))
  for unit in _UNIX.values():
    inside = (values >= _EARLIEST * unit).all() and (values < _LATEST * unit).all()
    if inside and (is_named or _is_regular(values)):
      return Times("time", values / unit, cells)
  if all(re.fullmatch(r"(19|20)\d{6}", cell.strip(), re.ASCII) for cell in cells):
    dates = _parsed(cells, _by_format("%Y%m%d"))
    if not np.isnan(dates).any():
      return Times("time", dates, cells)
  if is_named or name.strip().lower() in _FIRST or _is_row_number(name, values):
    return Times("index", values, cells)
  return None


def first_fault(times: Times) -> tuple[int, str] | None:
  """Returns the first row that is not later than the one above and why, or None."""
  steps = np.diff(times.values)
  wrong = ~(steps > 0)
  if not wrong.any():
    return None
  at = int(wrong.argmax())
  relation = "repeats" if steps[at] == 0 else "lies before"
  above, cell = times.cells[at].strip(), times.cells[at + 1].strip()
  fault = f"{cell!r} {relation} {above!r} of the row above"
  # a step that lacks exactly one hour is the end of summer time
  if times.kind == "time" and len(steps) > 1 and steps[at] + 3600 == _usual(steps):
    fault += " (where clocks are set back, write times of UTC or with their offset)"
  return at + 1, fault


def gap(times: Times) -> tuple[int, str] | None:
  """Returns the first row whose step is not the usual one and why, or None."""
  steps, unit = _steps(times)
  if not len(steps):
    return None
  usual = _usual(steps)
  unlike = _unlike(steps)
  if not unlike.any():
    return None
  at = int(unlike.argmax())
  above, cell = times.cells[at].strip(), times.cells[at + 1].strip()
  return at + 1, (
    f"from {above!r} to {cell!r} is a step of {_length(steps[at], unit)} where the "
    f"usual one is {_length(usual, unit)}"
  )


def relative_steps(times: Times) -> Float[np.ndarray, " S"]:
  """Returns the steps between rows, divided by the usual one."""
  steps, _ = _steps(times)
  return steps / _usual(steps) if len(steps) else steps


def usual_step(times: Times) -> str:
  """Returns the usual step between rows in words; there are at least two rows."""
  steps, unit = _steps(times)
  return _length(_usual(steps), unit)


def _steps(times: Times) -> tuple[Float[np.ndarray, " S"], str]:
  """Returns the steps between rows, in the unit in which most of them are equal.

  Months, quarters and years are equal in months, and the days from Monday to Friday in
  working days.
  """
  seconds = (times.values, "second" if times.kind == "time" else "")
  candidates = [(np.diff(v), unit) for v, unit in (seconds, *_calendars(times))]
  return min(candidates, key=lambda candidate: _unlike(candidate[0]).sum())


def _usual(steps: Float[np.ndarray, " S"]) -> float:
  """Returns the lower median, which is one of the steps."""
  return float(np.sort(steps)[(len(steps) - 1) // 2])


def _unlike(steps: Float[np.ndarray, " S"]) -> np.ndarray:
  """Returns which steps differ from the usual one by more than rounding."""
  usual = _usual(steps) if len(steps) else 0.0
  return np.abs(steps - usual) > 1e-3 * abs(usual)


def _length(step: float, unit: str) -> str:
  """Returns a step in words, such as "1 day 2:00:00" or "3 months"."""
  if unit == "second":
    days, seconds = divmod(round(float(step), 6), 86_400)
    clock = str(datetime.timedelta(seconds=seconds))
    parts = [_length(days, "day")] if days else []
    return " ".join([*parts, clock] if seconds or not days else parts)
  plural = "s" if unit and step != 1 else ""
  return f"{step:g} {unit}{plural}".strip()


def _calendars(times: Times) -> list[tuple[np.ndarray, str]]:
  """Returns the times in months and in working days, as far as they fit the calendar.

  Times are months if all have the same day or are the last of their month, and working
  days if none is on a weekend.
  """
  if times.kind == "index":
    return []
  try:
    dates = [_EPOCH + datetime.timedelta(seconds=float(t)) for t in times.values]
  except OverflowError:
    return []
  if len({date.time() for date in dates}) > 1:
    return []
  units = []
  are_last = (d.day == calendar.monthrange(d.year, d.month)[1] for d in dates)
  if len({d.day for d in dates}) == 1 or all(are_last):
    units.append((np.array([12.0 * d.year + d.month for d in dates]), "month"))
  if all(d.weekday() < 5 for d in dates):
    days = np.array([d.date() for d in dates], "datetime64[D]")
    units.append((np.busday_count(days[0], days).astype(float), "working day"))
  return units


def _is_index_name(name: str) -> bool:
  """Returns whether the name is one that pandas gives to a written index."""
  return name.strip().lower() in ("", "unnamed: 0")


def _is_row_number(name: str, values: Float[np.ndarray, " T"]) -> bool:
  """Returns whether a column with a usual name counts rows from 0 or 1."""
  consecutive = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
  return name.strip().lower() in _ROW_NUMBERS and consecutive


def _is_regular(values: Float[np.ndarray, " T"]) -> bool:
  """Returns whether more than half of the steps are equal."""
  steps = np.diff(values)
  return bool(len(steps) and _unlike(steps).mean() < 0.5)


def _dates(cells: Sequence[str]) -> Times | None:
  """Returns the dates of a column in the format that fits best, or None."""
  candidates = []
  for parse in _parsers(cells[0], cells[min(1, len(cells) - 1)]):
    values = _parsed(cells, parse)
    bad = np.isnan(values)
    if bad.mean() < _FEW:
      first = int(bad.argmax()) if bad.any() else None
      candidates.append(Times("time", values, cells, first))
  # 01/02 may be of January or February: the format whose times rise most evenly wins
  return min(candidates, key=_disorder, default=None)


def _disorder(times: Times) -> tuple[bool, bool, int]:
  """Returns a sort key: unparsed cells first, then times that fall, then gaps."""
  if times.bad is not None:
    return True, True, 0
  return False, not _rises(times.values), int(_unlike(_steps(times)[0]).sum())


def _parsers(*cells: str) -> list[Callable[[str], datetime.datetime]]:
  """Returns the parsers that can read one of the first cells of a column."""
  formats = [f + clock for f in _FORMATS for clock in _CLOCKS] + list(_MONTHS)
  parsers = [_iso, _quarter, *(_by_format(f) for f in formats)]
  return [
    parse
    for parse in parsers
    if any(not np.isnan(_seconds(cell, parse)) for cell in set(cells))
  ]


def _by_format(form: str) -> Callable[[str], datetime.datetime]:
  """Returns a parser of cells in a format of `strptime`."""
  return lambda cell: datetime.datetime.strptime(cell, form)


def _iso(cell: str) -> datetime.datetime:
  """Parses ISO 8601; an offset is converted to UTC."""
  # `fromisoformat` accepts "20240131" and other scripts' digits: those are numbers
  if not cell.isascii() or cell.isdecimal():
    raise ValueError(cell)
  date = datetime.datetime.fromisoformat(cell.removesuffix(" UTC"))
  return date.astimezone(datetime.UTC).replace(tzinfo=None) if date.tzinfo else date


def _quarter(cell: str) -> datetime.datetime:
  """Parses a quarter such as "2024Q1" or "Q1/2024" as its first day."""
  match = re.fullmatch(r"(\d{4})[-/ ]?Q([1-4])|Q([1-4])[-/ ](\d{4})", cell, re.ASCII)
  if not match:
    raise ValueError(cell)
  year, quarter = match[1] or match[4], int(match[2] or match[3])
  return datetime.datetime(int(year), 3 * quarter - 2, 1)


def _parsed(
  cells: Sequence[str], parse: Callable[[str], datetime.datetime]
) -> Float[np.ndarray, " T"]:
  """Returns seconds since 1970; NaN for a cell that cannot be parsed."""
  return np.array([_seconds(cell, parse) for cell in cells])


def _seconds(cell: str, parse: Callable[[str], datetime.datetime]) -> float:
  try:
    return (parse(cell.strip()) - _EPOCH).total_seconds()
  except (ValueError, OverflowError):
    return np.nan


def _float(cell: str) -> float:
  value = tables.number(cell)
  return np.nan if value is None else value


def _rises(values: np.ndarray) -> bool:
  return bool((np.diff(values) > 0).all())
