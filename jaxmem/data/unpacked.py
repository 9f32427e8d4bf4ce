"""Packed files as they are read: what is in them, recoded to UTF-8, or why not.

The machinery of `jaxmem.data.opened`, which is what readers use.
"""

import codecs
import io
import os
import zipfile
from pathlib import Path

from jaxmem.core.errors import DataError
from jaxmem.data import formats
from jaxmem.data.unreadable import CONVERT, DAMAGE, Member, binary, damaged, refused

BLOCK = 1 << 20
# What an archive may unpack to: so many bytes in any case, or so many times its size.
_PLENTY, _RATIO = 1 << 28, 200


class Stream(io.RawIOBase):
  """Unpacks, takes the mark off, and recodes; says what is wrong as DataError.

  Attributes:
    mark: the byte-order mark that was taken off.
    is_plain: whether the bytes are those of the file.
  """

  def __init__(
    self, member: Member, encoding: str, file: io.BufferedIOBase | None = None
  ):
    """Args: what to open; its encoding; the file if it is open, which stays so."""
    self._given = file
    self._inner, self._under = None, []
    self._member, self._declared = member, _encoding(encoding)
    self._restart()

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def tell(self) -> int:
    return self._at

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    if whence == os.SEEK_CUR:
      offset += self._at
    if self.is_plain:
      skip = len(self.mark)
      if whence == os.SEEK_END:
        self._at = self._inner.seek(offset, whence) - skip
      else:
        self._at = self._inner.seek(offset + skip) - skip
      return self._at
    if whence == os.SEEK_END:
      raise io.UnsupportedOperation("the end of what is packed is not known")
    if offset < self._at:
      self._restart()
    buffer = bytearray(BLOCK)
    while self._at < offset:
      part = memoryview(buffer)[: min(BLOCK, offset - self._at)]
      if not self.readinto(part):
        break
    return self._at

  def readinto(self, buffer) -> int:
    while not self._ready:
      block = self._read(len(buffer))
      if self._decoder:
        self._ready = self._recoded(block)
      else:
        self._ready = block
      if not block:
        break
    part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
    buffer[: len(part)] = part
    self._at += len(part)
    return len(part)

  def close(self) -> None:
    self._leave()
    super().close()

  def _leave(self) -> None:
    for file in (self._inner, *self._under) if self._inner else ():
      if file is not self._given:
        file.close()

  def _restart(self) -> None:
    """Opens the file, looks at its head, and stands at its first byte of text."""
    self._leave()
    self._at, self._taken, self._ready = 0, 0, b""
    self._under, self._packed = [], 0
    self._inner = self._given or _file(self._member.path)
    self._piped = not self._inner.seekable()
    head, found = self._look()
    if found and (found.unpack or found.name == formats.ZIP):
      self._packed = _PLENTY
      if not self._given:
        self._packed = os.path.getsize(self._member.path)
      self._under.append(self._inner)
      try:
        self._inner = self._unpacked(found)
      except (OSError, *DAMAGE) as error:
        raise damaged(self._member, error) from error
      outer = found.name
      head, found = self._look()
      if found:
        raise refused(self._member, found, f" in {outer}")
    self.mark, encoding = formats.mark(head)
    encoding = encoding or self._declared
    self.is_plain = not self._packed and encoding == "utf-8"
    wide = encoding.startswith(("utf-16", "utf-32"))
    if not wide and (b"\0" in head):
      raise binary(self._member, head)
    self._decoder = None
    if encoding not in ("utf-8", "ascii"):
      self._decoder = codecs.getincrementaldecoder(encoding)()
    self._read(len(self.mark))

  def _look(self) -> tuple[bytes, formats.Format | None]:
    """The head of the inner file, which is then at its beginning, and its format."""
    try:
      head = _head(self._inner, self._piped)
    except (OSError, *DAMAGE) as error:
      raise damaged(self._member, error) from error
    if self._piped:
      self._inner = _Pushed(head, self._inner)
    else:
      self._inner.seek(0)
    found = formats.recognise(head)
    if found and found.remedy:
      raise refused(self._member, found, " in what it unpacks to" * bool(self._under))
    return head, found

  def _unpacked(self, found: formats.Format) -> io.IOBase:
    if found.unpack:
      return found.unpack(self._inner)
    archive = zipfile.ZipFile(self._inner)
    self._under.append(archive)
    name = self._member.name or _only(self._member.path)
    return archive.open(name)

  def _read(self, size: int) -> bytes:
    try:
      block = self._inner.read(size)
    except (OSError, *DAMAGE) as error:
      raise damaged(self._member, error) from error
    self._taken += len(block)
    if self._packed and self._taken > max(_PLENTY, _RATIO * self._packed):
      raise DataError(
        f"{self._member} unpacks to more than {_RATIO} times its {self._packed:,} "
        "bytes, which no text does: unpack it yourself if you trust it"
      )
    return block

  def _recoded(self, block: bytes) -> bytes:
    try:
      return self._decoder.decode(block, final=not block).encode()
    except UnicodeError as error:
      at = self._taken - len(block) + getattr(error, "start", 0)
      raise DataError(
        f"{self._member} is not {self._declared} near byte {at}: {CONVERT}"
      ) from error


def kind(path: str | Path) -> str:
  """The name of the format of a file (`formats.RECOGNISED`), "" for text."""
  with _file(plain_path(path)) as file:
    found = formats.recognise(_head(file))
  return found.name if found else ""


def members(path: str | Path) -> list[Member]:
  """The files that a path stands for: those of a zip archive, else the file itself.

  Raises:
    DataError: if it is a damaged archive, holds no file, or is no archive of files but
      a document (xlsx, docx, epub) or arrays (npz, PyTorch).
  """
  path = plain_path(path)
  if kind(path) != formats.ZIP:
    return [Member(path)]
  try:
    with zipfile.ZipFile(path) as archive:
      names = [one.filename for one in archive.infolist() if not one.is_dir()]
  except (OSError, *DAMAGE) as error:
    raise damaged(path, error) from error
  _refuse_document(path, names)
  names = sorted(name for name in names if not _is_hidden(name))
  if not names:
    raise DataError(f"{path} is a zip archive without a file: give one with text")
  return [Member(path, name) for name in names]


def _only(path: Path) -> str:
  """The one file of a zip archive."""
  found = members(path)
  if len(found) > 1:
    raise DataError(
      f"{path} is a zip archive of {len(found)} files ({found[0].name}, "
      f"{found[1].name}, ...): unpack it, and name the one to read"
    )
  return found[0].name


def _is_hidden(name: str) -> bool:
  """What systems add to an archive by themselves."""
  parts = name.split("/")
  return "__MACOSX" in parts or any(p.startswith(".") for p in parts)


def _refuse_document(path: Path, names: list[str]) -> None:
  remedy = "save its text as UTF-8, or its table as CSV"
  found = ""
  if "[Content_Types].xml" in names:
    found = "an Office document (docx, xlsx, pptx)"
  elif "mimetype" in names:
    found = "an OpenDocument or EPUB document"
  elif names and all(name.endswith(".npy") for name in names):
    found, remedy = "NumPy arrays (.npz)", "save its numbers as CSV"
  elif any(name.endswith("data.pkl") for name in names):
    found, remedy = "a PyTorch file", "it holds weights, no data"
  elif "META-INF/MANIFEST.MF" in names:
    found, remedy = "a Java archive", "leave it out"
  if found:
    raise DataError(f"{path} is {found}, which is not read: {remedy}")


class _Pushed(io.RawIOBase):
  """A pipe, with what was read of it before it."""

  def __init__(self, head: bytes, rest: io.IOBase):
    self._head, self._rest = head, rest

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    part = self._head[: len(buffer)] or self._rest.read1(len(buffer))
    self._head = self._head[len(buffer) :]
    buffer[: len(part)] = part
    return len(part)


def _file(path: Path) -> io.IOBase:
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


def _head(file: io.IOBase, piped: bool = False) -> bytes:
  if piped:  # a pipe may have less, and who writes may wait for an answer
    return file.read1(formats.HEAD)
  parts, left = [], formats.HEAD
  while left and (part := file.read(left)):
    parts.append(part)
    left -= len(part)
  return b"".join(parts)


def plain_path(file: str | Path) -> Path:
  """Returns the path of a file, with `~` expanded."""
  return Path(file).expanduser()


def _encoding(name: str) -> str:
  """The codec's own name of an encoding of text."""
  try:
    found = codecs.lookup(name)
    "".encode(name)  # refuses codecs that are none of text
  except (LookupError, ValueError) as error:
    raise DataError(
      f"no encoding {name!r}: give task.encoding as utf-8, utf-16, latin-1, ..."
    ) from error
  return found.name
