"""Why a file cannot be read, and what to do: the errors of `jaxmem.data.unpacked`."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import formats

# The remedy for bytes in another encoding than expected.
CONVERT = (
  "convert it to UTF-8, or name its encoding with task.encoding (of labels and pairs)"
)
# The errors that readers of packed files raise on damaged ones.
DAMAGE = (
  EOFError,
  LookupError,
  RuntimeError,
  ValueError,
  lzma.LZMAError,
  struct.error,
  zipfile.BadZipFile,
  zlib.error,
)


class Member(NamedTuple):
  """A file, or a file in a zip or tar archive.

  Attributes:
    path: the file.
    name: the name in the archive; empty for no archive, or the only file of one.
  """

  path: Path
  name: str = ""

  def __str__(self) -> str:
    return f"{self.path}: {self.name}" if self.name else str(self.path)


def refused(where: Member, kind: formats.Format, within: str) -> DataError:
  """Returns the error of a format that is recognised and not read.

  Args:
    where: the file.
    kind: its format.
    within: what it lies in, such as " in gzip"; empty for a file itself.
  """
  remedy = kind.remedy or "unpack it first"
  return DataError(f"{where} is {kind.name}{within}, which is not read: {remedy}")


def binary(where: Member, head: bytes) -> DataError:
  """Returns the error of bytes that are no text."""
  likely = formats.unmarked(head)
  remedy = (
    f"it looks like {likely} without a byte-order mark: {CONVERT}"
    if likely
    else "only text is read; leave it out, or save its text as UTF-8"
  )
  return DataError(
    f"{where} holds binary bytes, the first NUL at byte {head.index(0)}: {remedy}"
  )


def damaged(where: object, error: Exception) -> DataError:
  """Returns the error of a file that cannot be read or unpacked, from its cause."""
  if isinstance(error, DataError):
    return error
  why = getattr(error, "strerror", None) or str(error) or type(error).__name__
  why = " ".join(why.split())[:200].rstrip(".")
  return DataError(f"cannot read {where}: {why}; fetch or pack it again")
