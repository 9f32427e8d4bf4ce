"""What is done with a record that cannot be read: stop there, or skip and count it.

The policy holds for all that is read inside `policy`; `tasks.make` sets it from
`task.bad_records`. Every reader of records reports bad ones to a `Tally`.
"""

import contextlib
import contextvars
import re
import sys
from collections.abc import Iterator

from jaxmem.core.errors import DataError, raised_as
from jaxmem.core.ranges import check_word

STOP, SKIP = "stop", "skip"
# How many skipped records a message names.
_MAX_NAMED = 5
# Context variables, not globals: two tasks that are made in two threads do not meet.
_policy = contextvars.ContextVar("bad_records", default="")
_skipped = contextvars.ContextVar("skipped_records", default=None)


@contextlib.contextmanager
def policy(name: str) -> Iterator[list[str]]:
  """Sets what is done with bad records.

  Args:
    name: "stop" or "skip".

  Yields:
    A list to which every skipped record adds where it was.

  Raises:
    DataError: if the name is neither.
  """
  with raised_as(DataError):
    check_word(name, "task.bad_records", (STOP, SKIP))
  skipped: list[str] = []
  token, places = _policy.set(name), _skipped.set(skipped)
  try:
    yield skipped
  finally:
    _policy.reset(token)
    _skipped.reset(places)


class Tally:
  """Counts the good and the bad records of a source."""

  def __init__(self, source: str):
    self._source, self._good = source, 0
    self._places: list[str] = []
    self._first = ""

  def good(self) -> None:
    """Counts a record that was read."""
    self._good += 1

  def bad(self, where: str, error: DataError) -> None:
    """Counts a bad record, or raises.

    Args:
      where: the source and the number of the record, which ends the text.
      error: what is wrong with it.

    Raises:
      DataError: `error`, unless bad records are skipped.
    """
    if _policy.get() == STOP:
      raise DataError(f"{error} (--task.bad-records skip leaves it out)") from error
    if _policy.get() != SKIP:
      raise error
    self._first = self._first or str(error)
    self._places.append(where)
    _skipped.get().append(where)

  def close(self) -> None:
    """Prints on standard error how many records were skipped, and which came first."""
    if not self._places:
      return
    named = self._places[:_MAX_NAMED]
    names = [re.sub(r"^.* line (\d+)$", r"line \1", place) for place in named]
    names += ["..."] * (len(self._places) > _MAX_NAMED)
    print(
      f"jaxmem: {self._source}: {len(self._places):,} bad records skipped, "
      f"{self._good:,} read: {', '.join(names)}; the first: {self._first}",
      file=sys.stderr,
      flush=True,
    )
