"""Columns that say when a row was: recognised, and checked to rise in equal steps."""

import calendar
import datetime
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data import tables

# Names under which a column of numbers is a time, too.
NAMES = frozenset(
  "date dates datetime date_time time times timestamp timestamps time_stamp ts ds utc "
  "epoch unix unixtime unix_time time_idx datum zeit".split()
)
# The same where it is the first column and rises.
_FIRST = frozenset("t step year month week day hour minute second period".split())
# The first column where it counts 0, 1, 2, ... or 1, 2, 3, ...
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
# Unix times lie between 1989 and 2128: seconds, and their thousandths.
_UNIX = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EARLIEST, _LATEST = 600_000_000, 5_000_000_000
_EPOCH = datetime.datetime(1970, 1, 1)
# A column is one of times if fewer of its cells are none.
_FEW = 0.25


class Times(NamedTuple):
  """When each row was.

  Attributes:
    kind: "time", or "index" of numbers.
    values: seconds since 1970, or the numbers.
    shown: the cells, for messages.
    bad: the first row whose cell is no time, or None.
  """

  kind: str
  values: Float[np.ndarray, " T"]
  shown: Sequence[str]
  bad: int | None = None


def find(name: str, cells: Sequence[str], is_first: bool) -> Times | None:
  """The times in a column, or None if it holds something else.

  Dates are recognised in any column. Numbers are times where the name says so or where
  the first column has whole Unix times, dates as 20240131 or row numbers, which rise.

  Args:
    name: of the column.
    cells: of all rows, at least one.
    is_first: whether it is the first column.
  """
  if any(tables.number(cell) is None for cell in cells[:50]):
    return _dates(cells)
  known = name.strip().lower() in NAMES or (is_first and _is_index_name(name))
  if not known and not is_first:
    return None
  values = np.array([_float(cell) for cell in cells])
  if not known and not _rises(values):
    return None
  bad = np.isnan(values)
  if bad.any():
    return Times("index", values, cells, int(bad.argmax()))
  for unit in _UNIX.values():
    inside = (values >= _EARLIEST * unit).all() and (values < _LATEST * unit).all()
    if inside and (known or _is_regular(values)):
      return Times("time", values / unit, cells)
  if all(re.fullmatch(r"(19|20)\d{6}", cell.strip(), re.ASCII) for cell in cells):
    dates = _parsed(cells, _by_format("%Y%m%d"))
    if not np.isnan(dates).any():
      return Times("time", dates, cells)
  if known or name.strip().lower() in _FIRST or _is_row_number(name, values):
    return Times("index", values, cells)
  return None


def is_clock(cells: Sequence[str]) -> bool:
  """Whether a column has the time of day alone, as a second part of a date."""
  clock = re.compile(r"\s*\d{1,2}([:.]\d{2}[:.]\d{2}|:\d{2})\s*")
  return all(clock.fullmatch(cell) for cell in cells[:50])


def first_fault(times: Times) -> tuple[int, str] | None:
  """The first row that is not later than the one above, and what it is instead."""
  steps = np.diff(times.values)
  wrong = ~(steps > 0)
  if not wrong.any():
    return None
  at = int(wrong.argmax())
  what = "repeats" if steps[at] == 0 else "lies before"
  above, cell = times.shown[at].strip(), times.shown[at + 1].strip()
  said = f"{cell!r} {what} {above!r} of the row above"
  if times.kind == "time" and len(steps) > 1 and steps[at] + 3600 == _usual(steps):
    said += " (where clocks are set back, write times of UTC or with their offset)"
  return at + 1, said


def gap(times: Times) -> tuple[int, str] | None:
  """The first row whose step is not the usual one, and what it is; None if none is."""
  steps, unit = _steps(times)
  if not len(steps):
    return None
  usual = _usual(steps)
  unlike = _unlike(steps)
  if not unlike.any():
    return None
  at = int(unlike.argmax())
  above, cell = times.shown[at].strip(), times.shown[at + 1].strip()
  return at + 1, (
    f"from {above!r} to {cell!r} is a step of {_length(steps[at], unit)} where the "
    f"usual one is {_length(usual, unit)}"
  )


def places(times: Times) -> Int[np.ndarray, " T"] | None:
  """The number of each row on a grid of the usual step; None if a row is beside it."""
  steps, _ = _steps(times)
  counts = steps / _usual(steps) if len(steps) else steps
  whole = np.rint(counts)
  if (np.abs(counts - whole) > 1e-3).any() or (whole < 1).any():
    return None
  return np.concatenate([[0], np.cumsum(whole)]).astype(int)


def usual_step(times: Times) -> str:
  """How far apart rows are, in words; there are two at least."""
  steps, unit = _steps(times)
  return _length(_usual(steps), unit)


def _steps(times: Times) -> tuple[Float[np.ndarray, " S"], str]:
  """The steps between rows and their unit, that in which the most are equal.

  Months, quarters and years are equal in months, and the days from Monday to Friday in
  working days.
  """
  first = (times.values, "second" if times.kind == "time" else "")
  ways = [(np.diff(v), unit) for v, unit in (first, *_calendars(times))]
  return min(ways, key=lambda way: _unlike(way[0]).sum())


def _usual(steps: Float[np.ndarray, " S"]) -> float:
  """The median that is one of the steps."""
  return float(np.sort(steps)[(len(steps) - 1) // 2])


def _unlike(steps: Float[np.ndarray, " S"]) -> np.ndarray:
  """Which steps are not the usual one, up to the rounding of fractions."""
  usual = _usual(steps) if len(steps) else 0.0
  return np.abs(steps - usual) > 1e-3 * abs(usual)


def _length(step: float, unit: str) -> str:
  if unit == "second":
    days, seconds = divmod(round(float(step), 6), 86_400)
    clock = str(datetime.timedelta(seconds=seconds))
    parts = [_length(days, "day")] if days else []
    return " ".join([*parts, clock] if seconds or not days else parts)
  plural = "s" if unit and step != 1 else ""
  return f"{step:g} {unit}{plural}".strip()


def _calendars(times: Times) -> list[tuple[np.ndarray, str]]:
  """The same times counted in months, and in working days, where they are such."""
  if times.kind == "index":
    return []
  try:
    dates = [_EPOCH + datetime.timedelta(seconds=float(t)) for t in times.values]
  except OverflowError:
    return []
  if len({date.time() for date in dates}) > 1:
    return []
  found = []
  last = lambda d: d.day == calendar.monthrange(d.year, d.month)[1]
  if len({d.day for d in dates}) == 1 or all(map(last, dates)):
    found.append((np.array([12.0 * d.year + d.month for d in dates]), "month"))
  if all(d.weekday() < 5 for d in dates):
    days = np.array([d.date() for d in dates], "datetime64[D]")
    found.append((np.busday_count(days[0], days).astype(float), "working day"))
  return found


def _is_index_name(name: str) -> bool:
  """Whether a table of pandas was written with its index."""
  return name.strip().lower() in ("", "unnamed: 0")


def _is_row_number(name: str, values: Float[np.ndarray, " T"]) -> bool:
  consecutive = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
  return name.strip().lower() in _ROW_NUMBERS and consecutive


def _is_regular(values: Float[np.ndarray, " T"]) -> bool:
  steps = np.diff(values)
  return bool(len(steps) and _unlike(steps).mean() < 0.5)


def _dates(cells: Sequence[str]) -> Times | None:
  """The dates of a column by the format that reads most of it, or None."""
  read = []
  for parse in _parsers(cells[0], cells[min(1, len(cells) - 1)]):
    values = _parsed(cells, parse)
    bad = np.isnan(values)
    if bad.mean() < _FEW:
      read.append(
        Times("time", values, cells, int(bad.argmax()) if bad.any() else None)
      )
  # day and month may be confused: what rises most evenly is what is meant
  return min(read, key=_disorder, default=None)


def _disorder(times: Times) -> tuple[bool, bool, int]:
  if times.bad is not None:
    return True, True, 0
  return False, not _rises(times.values), int(_unlike(_steps(times)[0]).sum())


def _parsers(*cells: str) -> list[Callable[[str], datetime.datetime]]:
  """What reads one of the first cells of a column."""
  formats = [f + clock for f in _FORMATS for clock in _CLOCKS] + list(_MONTHS)
  parsers = [_iso, _quarter, *(_by_format(f) for f in formats)]
  reads = lambda parse: any(not np.isnan(_seconds(cell, parse)) for cell in set(cells))
  return [parse for parse in parsers if reads(parse)]


def _by_format(form: str) -> Callable[[str], datetime.datetime]:
  return lambda cell: datetime.datetime.strptime(cell, form)


def _iso(cell: str) -> datetime.datetime:
  if not cell.isascii() or cell.isdecimal():
    raise ValueError(cell)
  date = datetime.datetime.fromisoformat(cell.removesuffix(" UTC"))
  return date.astimezone(datetime.UTC).replace(tzinfo=None) if date.tzinfo else date


def _quarter(cell: str) -> datetime.datetime:
  found = re.fullmatch(r"(\d{4})[-/ ]?Q([1-4])|Q([1-4])[-/ ](\d{4})", cell, re.ASCII)
  if not found:
    raise ValueError(cell)
  year, quarter = found[1] or found[4], int(found[2] or found[3])
  return datetime.datetime(int(year), 3 * quarter - 2, 1)


def _parsed(
  cells: Sequence[str], parse: Callable[[str], datetime.datetime]
) -> Float[np.ndarray, " T"]:
  """Seconds since 1970, NaN for what cannot be parsed."""
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
