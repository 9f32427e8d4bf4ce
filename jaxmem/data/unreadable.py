"""Why a file cannot be read, and what to do: the errors of `jaxmem.data.unpacked`."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import formats

# What is said of bytes that are not what they should be.
CONVERT = (
  "convert it to UTF-8, or name its encoding with task.encoding (of labels and pairs)"
)
# What readers of packed files raise on damaged ones.
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
  """A file, or a file in a zip archive.

  Attributes:
    path: of the file.
    name: in the archive; empty is no archive, or the only file of one.
  """

  path: Path
  name: str = ""

  def __str__(self) -> str:
    return f"{self.path}: {self.name}" if self.name else str(self.path)


def refused(where: Member, found: formats.Format, within: str) -> DataError:
  """The error of a format that is recognised and not read."""
  remedy = found.remedy or "unpack it first"
  return DataError(f"{where} is {found.name}{within}, which is not read: {remedy}")


def binary(where: Member, head: bytes) -> DataError:
  """The error of bytes that are no text."""
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
  """The error of a file that cannot be read or unpacked, from what went wrong."""
  if isinstance(error, DataError):
    return error
  why = getattr(error, "strerror", None) or str(error) or type(error).__name__
  why = " ".join(why.split())[:200].rstrip(".")
  return DataError(f"cannot read {where}: {why}; fetch or pack it again")
