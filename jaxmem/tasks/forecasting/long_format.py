"""Tables in long format, with several series below one another, are detected."""

from typing import Any

import numpy as np

from jaxmem.core.errors import DataError
from jaxmem.tasks.forecasting import times

# Usual names of the column that identifies the series in a table of long format.
NAMES = frozenset(
  "unique_id series_id seriesid item_id itemid ts_id series_name id key group".split()
)


def check(cells: Any, when: times.Times | None, has_labels: bool) -> None:
  """Raises DataError if a column identifies the series of each row.

  Args:
    cells: the table, as `cells.Cells`.
    when: the times of its rows, or None.
    has_labels: whether the first column has text that is not a time.
  """
  # in long format times start again with every series, or repeat across series
  unsorted = when is not None and when.bad is None and times.first_fault(when)
  for j, (name, column) in enumerate(zip(cells.names, cells.columns, strict=True)):
    names = name.lower() in NAMES or (has_labels and j == 0)
    if not names and not unsorted:  # neither the name nor the times suggest a key
      continue
    groups: dict[str, list[int]] = {}
    for i, cell in enumerate(column):
      groups.setdefault(cell.strip(), []).append(i)
    if not 1 < len(groups) <= len(column) / 2:
      continue
    in_blocks = names and _in_blocks(column, len(groups))
    # the column of times itself is no key: each of its groups has one time
    is_key = unsorted and column is not when.cells and _all_rise(when, groups)
    if in_blocks or is_key:
      raise DataError(_message(cells, name, groups))


def _in_blocks(column: tuple[str, ...], groups: int) -> bool:
  """Returns whether the rows of each series are contiguous."""
  borders = sum(
    a.strip() != b.strip() for a, b in zip(column, column[1:], strict=False)
  )
  return borders == groups - 1


def _all_rise(when: times.Times, groups: dict[str, list[int]]) -> bool:
  """Returns whether times rise within every group."""
  return all((np.diff(when.values[rows]) > 0).all() for rows in groups.values())


def _message(cells: Any, name: str, groups: dict[str, list[int]]) -> str:
  sizes = {group: len(rows) for group, rows in groups.items()}
  first = ", ".join(f"{group} ({size} rows)" for group, size in list(sizes.items())[:4])
  unequal = " of unequal length" if len(set(sizes.values())) > 1 else ""
  return (
    f"{cells.path} is in long format: column {name!r} names {len(groups)} series"
    f"{unequal} that are below one another ({first}). Set task.series {name} to read "
    "each by itself, or give a column for each series, of as many rows each"
  )
