"""Silence about reads and writes that Orbax has given up, whose error is already told.

When one of many parallel reads or writes fails, Orbax raises and closes its event
loop. The others end later, find the loop closed, and Python prints a traceback for
each, often while the process exits. A write that fails in the background is logged with
a traceback before it is raised. The caller gets the error itself in either case, so
what is printed besides is noise.
"""

import functools
import logging
import sys
import threading
from types import TracebackType
from typing import Any

# Of files whose background work may fail after its error was told.
_LIBRARIES = ("/orbax/", "/tensorstore/", "/tensorboardX/")


@functools.cache
def silence() -> None:
  """Drops what these libraries would print; everything else is printed as before.

  It is done once a process. Nothing of it hides an error that is raised.
  """
  logging.getLogger("absl").setLevel(logging.CRITICAL)
  logging.getLogger("asyncio").addFilter(_is_ours)
  unraisable, excepthook = sys.unraisablehook, threading.excepthook

  def of_object(args: Any) -> None:
    if not _is_abandoned(args.exc_value, args.exc_traceback, args.object):
      unraisable(args)

  def of_thread(args: Any) -> None:
    if not _is_abandoned(args.exc_value, args.exc_traceback, None):
      excepthook(args)

  sys.unraisablehook, threading.excepthook = of_object, of_thread


def _is_ours(record: logging.LogRecord) -> bool:
  """Whether a line of asyncio's log is not about a task of one of the libraries."""
  text = record.getMessage()
  return not any(name in text for name in _LIBRARIES)


def _is_abandoned(
  error: BaseException | None, trace: TracebackType | None, what: Any
) -> bool:
  """Whether an error that nobody can catch is of work that was given up."""
  if isinstance(error, RuntimeError) and str(error) == "Event loop is closed":
    return True
  files = [getattr(getattr(what, "cr_code", None), "co_filename", "")]
  while trace is not None:
    files.append(trace.tb_frame.f_code.co_filename)
    trace = trace.tb_next
  return any(name in file for file in files for name in _LIBRARIES)
