"""Tables of several series below one another, told from those of a column a series."""

from typing import Any

import numpy as np

from jaxmem.core.errors import DataError
from jaxmem.tasks.forecasting import times

# What such tables call the column that names the series.
NAMES = frozenset(
  "unique_id series_id seriesid item_id itemid ts_id series_name id key group".split()
)


def check(cells: Any, when: times.Times | None, has_labels: bool) -> None:
  """Raises DataError if some column names the series of each row.

  Args:
    cells: a `series.Cells`.
    when: the times of its rows, if it has any.
    has_labels: whether the first column has text that is no time.
  """
  unsorted = when is not None and when.bad is None and times.first_fault(when)
  for j, (name, column) in enumerate(zip(cells.names, cells.columns, strict=True)):
    names = name.lower() in NAMES or (has_labels and j == 0)
    if not names and not unsorted:
      continue
    groups: dict[str, list[int]] = {}
    for i, cell in enumerate(column):
      groups.setdefault(cell.strip(), []).append(i)
    if not 1 < len(groups) <= len(column) / 2:
      continue
    below = names and _in_blocks(column, len(groups))
    if below or (unsorted and column is not when.shown and _all_rise(when, groups)):
      raise DataError(_said(cells, name, groups))


def _in_blocks(column: tuple[str, ...], groups: int) -> bool:
  """Whether the rows of a series follow each other."""
  borders = sum(
    a.strip() != b.strip() for a, b in zip(column, column[1:], strict=False)
  )
  return borders == groups - 1


def _all_rise(when: times.Times, groups: dict[str, list[int]]) -> bool:
  """Whether the times of every group rise, though those of all rows do not."""
  return all((np.diff(when.values[rows]) > 0).all() for rows in groups.values())


def _said(cells: Any, name: str, groups: dict[str, list[int]]) -> str:
  sizes = {group: len(rows) for group, rows in groups.items()}
  shown = ", ".join(f"{group} ({size} rows)" for group, size in list(sizes.items())[:4])
  unequal = " of unequal length" if len(set(sizes.values())) > 1 else ""
  return (
    f"{cells.path} is in long format: column {name!r} names {len(groups)} series"
    f"{unequal} that stand below one another ({shown}). Set task.series {name} to read "
    "each by itself, or give a column for each series, of as many rows each"
  )
