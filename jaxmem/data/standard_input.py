"""Standard input as a source, `-`: it is copied to a file once, which readers share.

A source is read several times (its split, its fingerprint, its batches), and a pipe can
be read once. The copy is on disk, so that memory stays bounded, and goes at the exit.
"""

import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path

from jaxmem.core.errors import DataError

NAME = "-"


@functools.cache
def copied() -> Path:
  """Returns a file with all that standard input holds; the first call reads it.

  Raises:
    DataError: if standard input is a terminal or closed, or cannot be copied.
  """
  if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
    raise DataError(
      "source '-' is standard input, and nothing is piped into it: write "
      "`... | jaxmem COMMAND`, or name a file (./- is a file of that name)"
    )
  folder = tempfile.mkdtemp(prefix="jaxmem-")
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  path = Path(folder, "stdin")
  try:
    with open(path, "wb") as file:
      shutil.copyfileobj(getattr(sys.stdin, "buffer", sys.stdin), file, 1 << 20)
  except OSError as error:
    raise DataError(
      f"cannot copy standard input to {path}: {error.strerror}; free space, or set "
      "TMPDIR to another folder"
    ) from error
  return path
