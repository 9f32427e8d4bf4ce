"""Any file of text that people have, as a stream of UTF-8 bytes.

Every reader of user data opens its files here. The first bytes of a file decide what it
is (`jaxmem.data.formats`): gzip, xz, bzip2, Zstandard, and a zip or tar of one file are
unpacked as they are read, byte-order marks are taken off, UTF-16 and UTF-32 become
UTF-8, and everything else that is no text is refused by name. Memory is bounded
whatever a file holds. The path `-` is standard input.
"""

import functools
import io
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data.archives import kind, members, plain_path
from jaxmem.data.unpacked import BLOCK, CONVERT, Member, Stream

__all__ = [
  "Line",
  "Member",
  "attached",
  "is_plain",
  "kind",
  "lines",
  "members",
  "plain_path",
  "read_at",
  "size",
  "stream",
  "suffix",
  "text",
  "too_long",
]

# The most bytes of a line, or of a quoted field of a table: it has to fit in memory.
LONGEST = 1 << 28
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".zip")
_ENDS = re.compile(rb"\r\n|\r|\n")


class Line(NamedTuple):
  """A line of a file, without its end (LF, CR LF or CR).

  Attributes:
    number: the line's number, from 1.
    offset: where the line begins in the stream.
    data: its bytes, None if there are more than `LONGEST`.
    size: how many bytes it has, without its end.
    end: its line end; empty at the end of the file.
  """

  number: int
  offset: int
  data: bytes | None
  size: int
  end: bytes

  def text(self, where: str) -> str:
    """Returns the line as text.

    Args:
      where: what messages call the file.

    Raises:
      DataError: if it is too long or no UTF-8; names file, line and byte.
    """
    if self.data is None:
      raise DataError(too_long(f"{where} line {self.number}", self.size))
    try:
      return self.data.decode()
    except UnicodeDecodeError as error:
      raise DataError(
        f"{where} line {self.number} is bad: it is not UTF-8 at byte "
        f"{self.offset + error.start} of the file: {CONVERT}"
      ) from error


def too_long(where: str, size: int) -> str:
  """Returns the message about a line that is too long for memory."""
  return (
    f"{where} has {size:,} bytes, more than the {LONGEST:,} that a record may have: "
    "break it up, or leave it out"
  )


def stream(file: str | Path | Member, encoding: str = "utf-8") -> io.BufferedReader:
  """Opens a file as UTF-8 without a byte-order mark; the caller closes it.

  Args:
    file: a path, or a file of an archive.
    encoding: the encoding of a file that begins with no mark.

  Returns:
    A binary stream that can be read and sought; seeking back in what is unpacked or
    recoded reads it again from the beginning.

  Raises:
    DataError: if the file is missing, damaged, or no text, also while it is read.
  """
  member = file if isinstance(file, Member) else Member(plain_path(file))
  return io.BufferedReader(Stream(member, encoding), BLOCK)


def attached(file: io.BufferedIOBase) -> io.BufferedReader:
  """Opens what an open file or pipe holds, as `stream` does; the file stays open.

  The stream returns the bytes of a pipe as soon as they come.

  Raises:
    DataError: see `stream`.
  """
  member = Member(Path(str(getattr(file, "name", "the input"))))
  return io.BufferedReader(Stream(member, "utf-8", file), BLOCK)


def lines(data: io.IOBase) -> Iterator[Line]:
  """Yields the lines of a stream, ended by LF, CR LF or CR, as Python reads text files.

  Other characters at which `splitlines` breaks (form feed, U+0085, U+2028, ...) belong
  to their line. A line longer than `LONGEST` is passed over in bounded memory.
  """
  number, offset, parts, size = 1, 0, [], 0
  # read1 returns what a pipe has, without waiting for a whole block
  read = getattr(data, "read1", data.read)
  block = read(BLOCK)
  while block:
    if block.endswith(b"\r"):  # the LF of a CR LF may stand in the next block
      block += data.read(1)
    begin = 0
    has_end = b"\n" in block or b"\r" in block  # far faster than the pattern
    for end in _ENDS.finditer(block) if has_end else ():
      size += end.start() - begin
      parts.append(block[begin : end.start()])
      content = b"".join(parts) if size <= LONGEST else None
      yield Line(number, offset, content, size, end.group())
      offset += size + len(end.group())
      number, parts, size, begin = number + 1, [], 0, end.end()
    size += len(block) - begin
    parts = [*parts, block[begin:]] if size <= LONGEST else []
    block = read(BLOCK)
  if size:
    yield Line(number, offset, b"".join(parts) if size <= LONGEST else None, size, b"")


def text(file: str | Path | Member, encoding: str = "utf-8") -> str:
  """Reads a whole file as text; line ends stay as they are.

  Raises:
    DataError: see `stream`, or if it is larger than `LONGEST`.
  """
  with stream(file, encoding) as data:
    content = data.read(LONGEST + 1)
  if len(content) > LONGEST:
    raise DataError(too_long(str(file), os.path.getsize(_path(file))))
  try:
    return content.decode()
  except UnicodeDecodeError as error:
    raise DataError(f"{file} is not UTF-8 at byte {error.start}: {CONVERT}") from error


def suffix(path: str | Path) -> str:
  """Returns the suffix of a file in lower case, that of a compression left out."""
  path = Path(str(path).lower())
  return path.with_suffix("").suffix if path.suffix in _PACKED else path.suffix


def is_plain(file: str | Path | Member) -> int | None:
  """Returns where the text begins in a file of plain UTF-8, or None.

  It begins at 0, or at 3 after a byte-order mark. A file that is packed or has another
  encoding has to be read through `stream`.

  Raises:
    DataError: if the file is no text.
  """
  member = file if isinstance(file, Member) else Member(plain_path(file))
  with Stream(member, "utf-8") as inner:
    return len(inner.mark) if inner.is_plain else None


def size(file: str | Path | Member) -> int:
  """Returns how many bytes `stream` has; a packed file is read to its end for it.

  Raises:
    DataError: see `stream`.
  """
  with stream(file) as data:
    if data.raw.is_plain:
      return data.seek(0, os.SEEK_END)
    return sum(map(len, iter(lambda: data.read(BLOCK), b"")))


def read_at(file: Member, begin: int, size: int) -> bytes:
  """Returns some bytes of what `stream` reads; cheap where reads go forwards.

  Args:
    file: the file, perhaps packed.
    begin: offset of the first byte in the stream.
    size: how many bytes to read.

  Raises:
    DataError: see `stream`.
  """
  with _LOCK:
    try:
      stamp = os.stat(file.path)
    except OSError as error:
      raise DataError(f"cannot read {file.path}: {error.strerror}") from error
    data = _cached_stream(file, stamp.st_mtime_ns, stamp.st_size)
    data.seek(begin)
    return data.read(size)


# Streams stay open between reads: the documents of a packed file are read in order, and
# opening it for each would unpack it from the beginning each time.
_LOCK = threading.Lock()


@functools.lru_cache(maxsize=4)
def _cached_stream(file: Member, *stamp: int) -> io.BufferedReader:
  """Opens a file once, and again if its time or size has changed."""
  return stream(file)


def _path(file: str | Path | Member) -> Path:
  return file.path if isinstance(file, Member) else plain_path(file)
