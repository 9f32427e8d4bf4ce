"""Silence about reads and writes that Orbax gave up and whose error was raised already.

When one of many parallel reads or writes fails, Orbax raises and closes its event loop.
The other ones end later, find the loop closed, and Python prints a traceback for each,
often while the process exits. A write that fails in the background is logged with a
traceback before it is raised. The caller gets the error itself in either case, so what
is printed besides is noise.
"""

import functools
import logging
import sys
import threading
from types import TracebackType
from typing import Any

# Parts of the paths of files whose background work may fail after its error was raised.
_LIBRARIES = ("/orbax/", "/tensorstore/", "/tensorboardX/")


@functools.cache
def silence() -> None:
  """Drops what these libraries would print; everything else is printed as before.

  It changes the hooks of the process once. No error that is raised is hidden.
  """
  logging.getLogger("absl").setLevel(logging.CRITICAL)
  logging.getLogger("asyncio").addFilter(_is_ours)
  unraisable, excepthook = sys.unraisablehook, threading.excepthook

  def on_unraisable(args: Any) -> None:
    if not _is_abandoned(args.exc_value, args.exc_traceback, args.object):
      unraisable(args)

  def on_thread_error(args: Any) -> None:
    if not _is_abandoned(args.exc_value, args.exc_traceback, None):
      excepthook(args)

  sys.unraisablehook, threading.excepthook = on_unraisable, on_thread_error


def _is_ours(record: logging.LogRecord) -> bool:
  """Returns whether a line of asyncio's log is not about a task of a library."""
  text = record.getMessage()
  return not any(name in text for name in _LIBRARIES)


def _is_abandoned(
  error: BaseException | None, trace: TracebackType | None, what: Any
) -> bool:
  """Returns whether an error that nobody can catch is of work that was given up."""
  if isinstance(error, RuntimeError) and str(error) == "Event loop is closed":
    return True
  # the object may be a coroutine, which knows its file
  files = [getattr(getattr(what, "cr_code", None), "co_filename", "")]
  while trace is not None:
    files.append(trace.tb_frame.f_code.co_filename)
    trace = trace.tb_next
  return any(name in file for file in files for name in _LIBRARIES)
