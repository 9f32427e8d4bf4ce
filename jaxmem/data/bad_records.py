"""What is done with a record that cannot be read: stop there, or skip and count it.

The policy holds for all that is read inside `policy`; `tasks.make` sets it from
`task.bad_records`. Every reader of records hands what is wrong to a `Tally`.
"""

import contextlib
import contextvars
import re
import sys
from collections.abc import Iterator

from jaxmem.core.errors import DataError, raised_as
from jaxmem.core.ranges import check_word

STOP, SKIP = "stop", "skip"
# Places that are named of skipped records.
_SHOWN = 5
_policy = contextvars.ContextVar("bad_records", default="")
_skipped = contextvars.ContextVar("skipped_records", default=None)


@contextlib.contextmanager
def policy(name: str) -> Iterator[list[str]]:
  """Sets what is done with bad records.

  Args:
    name: "stop" or "skip".

  Yields:
    A list that comes to hold the places of the records that were skipped.

  Raises:
    DataError: if it is another.
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
    """A record was read."""
    self._good += 1

  def bad(self, where: str, error: DataError) -> None:
    """A record is bad.

    Args:
      where: which, ending in its number.
      error: what is wrong.

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
    """Says on standard error how many records were skipped, and which came first."""
    if not self._places:
      return
    shown = [re.sub(r"^.* line (\d+)$", r"line \1", p) for p in self._places[:_SHOWN]]
    shown += ["..."] * (len(self._places) > _SHOWN)
    print(
      f"jaxmem: {self._source}: {len(self._places):,} bad records skipped, "
      f"{self._good:,} read: {', '.join(shown)}; the first: {self._first}",
      file=sys.stderr,
      flush=True,
    )
