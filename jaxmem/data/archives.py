"""Files, and the files in zip and tar archives: what they are, and where they lie.

A tar archive may be compressed as a whole. Its files are found by one walk over its
headers and read at their offsets; a compressed one is unpacked forwards, so reading its
files in their order unpacks it once.
"""

import functools
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import formats, standard_input
from jaxmem.data.unreadable import DAMAGE, Member, damaged


class Place(NamedTuple):
  """Where a file lies in a tar archive.

  Attributes:
    offset: of its first byte in the archive, after the archive is unpacked.
    size: its bytes.
  """

  offset: int
  size: int


def plain_path(file: str | Path) -> Path:
  """Returns the path of a file, with `~` expanded; `-` is a copy of standard input."""
  if str(file) == standard_input.NAME:
    return standard_input.copied()
  return Path(file).expanduser()


def open_file(path: str | Path) -> io.IOBase:
  """Opens a file; raises DataError if it cannot be opened."""
  path = Path(path)
  if path.is_dir():
    raise DataError(f"{path} is a directory: give a file")
  try:
    return open(path, "rb")
  except FileNotFoundError as error:
    raise DataError(f"no file {str(path)!r}: check the path") from error
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; mend the file or leave it out"
    ) from error


def head(file: io.IOBase, piped: bool = False) -> bytes:
  """Returns the first bytes of a file, fewer if it is shorter."""
  if piped:  # a pipe may have fewer for now, and its writer may wait for an answer
    return file.read1(formats.HEAD)
  parts, left = [], formats.HEAD
  while left and (part := file.read(left)):  # a raw file may return less at once
    parts.append(part)
    left -= len(part)
  return b"".join(parts)


def kind(path: str | Path) -> str:
  """Returns the name of a file's format (`formats.RECOGNISED`), "" for text."""
  with open_file(plain_path(path)) as file:
    recognised = formats.recognise(head(file))
  return recognised.name if recognised else ""


def is_tar(path: str | Path) -> bool:
  """Returns whether a file is a tar archive, perhaps a compressed one."""
  path = plain_path(path)
  # a pipe has no end to seek from, and its first bytes can be read once
  return not path.is_fifo() and _is_tar(path, *stamp(path))


@functools.lru_cache(maxsize=64)
def _is_tar(path: Path, *stamp: int) -> bool:
  """Looks at the beginning of a file, again if its time or size has changed."""
  with open_file(path) as file:
    outer = formats.recognise(head(file))
    if not outer or not outer.unpack:
      return bool(outer) and outer.name == formats.TAR
    file.seek(0)
    try:
      with outer.unpack(file) as inner:
        recognised = formats.recognise(head(inner))
    except (OSError, *DAMAGE) as error:
      raise damaged(path, error) from error
  return bool(recognised) and recognised.name == formats.TAR


def members(path: str | Path) -> list[Member]:
  """Returns the files of a zip or tar archive; of another file, the file itself.

  Raises:
    DataError: if it is a damaged archive, holds no file, or is no archive of files but
      a document (xlsx, docx, epub) or arrays (npz, PyTorch).
  """
  path = plain_path(path)
  if is_tar(path):
    return [Member(path, name) for name in sorted(places(path))]
  if kind(path) != formats.ZIP:
    return [Member(path)]
  try:
    with zipfile.ZipFile(path) as archive:
      names = [info.filename for info in archive.infolist() if not info.is_dir()]
  except (OSError, *DAMAGE) as error:
    raise damaged(path, error) from error
  _refuse_document(path, names)
  names = sorted(name for name in names if not _is_hidden(name))
  if not names:
    raise DataError(f"{path} is a zip archive without a file: give one with text")
  return [Member(path, name) for name in names]


def only(path: str | Path) -> str:
  """Returns the name of the only file of an archive."""
  files = members(path)
  if len(files) > 1:
    form = formats.TAR if is_tar(path) else formats.ZIP
    raise DataError(
      f"{path} is {form} of {len(files)} files ({files[0].name}, "
      f"{files[1].name}, ...): unpack it, and name the one to read"
    )
  return files[0].name


def places(path: str | Path) -> dict[str, Place]:
  """Returns the files of a tar archive by their names, in their order.

  Links, devices and hidden files are left out. Nothing is written to disk, so a name
  leads nowhere.

  Raises:
    DataError: if the archive is damaged or holds no file.
  """
  return _places(Path(path), *stamp(path))


@functools.lru_cache(maxsize=8)
def _places(path: Path, *stamp: int) -> dict[str, Place]:
  """Walks over the headers of an archive, again if its time or size has changed."""
  found: dict[str, Place] = {}
  try:
    with _unpacked(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
      for info in archive:
        name = info.name.removeprefix("./")
        if info.isreg() and not info.issparse() and not _is_hidden(name):
          found.pop(name, None)  # the later one of a name counts
          found[name] = Place(info.offset_data, info.size)
        archive.members = []  # or all headers would stay in memory
  except (OSError, tarfile.TarError, *DAMAGE) as error:
    raise damaged(path, error) from error
  if not found:
    raise DataError(f"{path} is {formats.TAR} without a file: give one with text")
  return found


class TarFile(io.RawIOBase):
  """One file of a tar archive, read at any offset.

  All files of an archive are read through one open stream, so that a compressed archive
  is not unpacked from its beginning for each.
  """

  def __init__(self, member: Member):
    """Raises DataError if the archive has no such file."""
    self._path, self._stamp = member.path, stamp(member.path)
    every = places(member.path)
    if member.name not in every:
      raise DataError(f"{member.path} has no file {member.name!r}: pack it again")
    self._place, self._at = every[member.name], 0

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._place.size}
    self._at = base[whence] + offset
    return self._at

  def tell(self) -> int:
    return self._at

  def readinto(self, buffer) -> int:
    """Reads into a buffer; returns the number of bytes, 0 at the end."""
    size = max(min(len(buffer), self._place.size - self._at), 0)
    if not size:
      return 0
    # a format is told by the head, which is then read again: no step back for that
    beginning = _beginning(self._path, self._place, *self._stamp)
    part = beginning[self._at : self._at + size]
    part = part or _read(self._path, self._place.offset + self._at, size, *self._stamp)
    if not part:
      raise EOFError("the archive ends inside of it")
    buffer[: len(part)] = part
    self._at += len(part)
    return len(part)


_LOCK = threading.Lock()


@functools.lru_cache(maxsize=256)
def _beginning(path: Path, place: Place, *stamp: int) -> bytes:
  """Returns the first bytes of a file in an archive."""
  return _read(path, place.offset, min(place.size, formats.HEAD), *stamp)


def _read(path: Path, offset: int, size: int, *stamp: int) -> bytes:
  """Returns some bytes of an archive without its compression."""
  with _LOCK:
    file = _cached(path, *stamp)
    file.seek(offset)
    return file.read(size)


@functools.lru_cache(maxsize=4)
def _cached(path: Path, *stamp: int) -> io.IOBase:
  """Opens an archive once, and again if its time or size has changed."""
  return _unpacked(path)


def _unpacked(path: Path) -> io.IOBase:
  """Opens a tar archive without its compression."""
  file = open_file(path)
  outer = formats.recognise(head(file))
  file.seek(0)
  return outer.unpack(file) if outer and outer.unpack else file


def stamp(path: str | Path) -> tuple[int, int]:
  """Returns when a file was changed, and its size.

  Raises:
    DataError: if there is no such file.
  """
  try:
    stat = os.stat(path)
  except FileNotFoundError as error:
    raise DataError(f"no file {str(path)!r}: check the path") from error
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  return stat.st_mtime_ns, stat.st_size


def _is_hidden(name: str) -> bool:
  """Returns whether an operating system added a file to an archive by itself."""
  parts = name.split("/")
  return "__MACOSX" in parts or any(p.startswith(".") for p in parts)


def _refuse_document(path: Path, names: list[str]) -> None:
  """Refuses zip archives that are one document, by the names of their files."""
  remedy = "save its text as UTF-8, or its table as CSV"
  document = ""
  if "[Content_Types].xml" in names:
    document = "an Office document (docx, xlsx, pptx)"
  elif "mimetype" in names:
    document = "an OpenDocument or EPUB document"
  elif names and all(name.endswith(".npy") for name in names):
    document, remedy = "NumPy arrays (.npz)", "save its numbers as CSV"
  elif any(name.endswith("data.pkl") for name in names):
    document, remedy = "a PyTorch file", "it holds weights, no data"
  elif "META-INF/MANIFEST.MF" in names:
    document, remedy = "a Java archive", "leave it out"
  if document:
    raise DataError(f"{path} is {document}, which is not read: {remedy}")
