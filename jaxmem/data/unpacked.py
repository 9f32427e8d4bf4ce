"""Packed files as they are read: what is in them, recoded to UTF-8, or why not.

This is the machinery of `jaxmem.data.opened`, which readers use.
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
# A packed file may unpack to so many bytes in any case, or to so many times its size:
# a zip bomb is refused before it fills the memory.
_ALWAYS_ALLOWED, _MAX_RATIO = 1 << 28, 200


class Stream(io.RawIOBase):
  """Unpacks a file, takes its mark off and recodes it; raises DataError.

  Attributes:
    mark: the byte-order mark that was taken off.
    is_plain: whether the bytes are those of the file.
  """

  def __init__(
    self, member: Member, encoding: str, file: io.BufferedIOBase | None = None
  ):
    """Opens the file.

    Args:
      member: what to open.
      encoding: its encoding, if it has no byte-order mark.
      file: the file if it is open already; it stays open.
    """
    self._open_file = file
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
    if offset < self._at:  # decompressors and decoders only go forwards
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
    """Closes every layer, but not a file that was open before."""
    for file in (self._inner, *self._under) if self._inner else ():
      if file is not self._open_file:
        file.close()

  def _restart(self) -> None:
    """Opens the file, looks at its head, and stops at its first byte of text."""
    self._leave()
    self._at, self._taken, self._ready = 0, 0, b""
    self._under, self._packed = [], 0
    self._inner = self._open_file or _file(self._member.path)
    self._piped = not self._inner.seekable()
    head, kind = self._look()
    if kind and (kind.unpack or kind.name == formats.ZIP):
      self._packed = _ALWAYS_ALLOWED
      if not self._open_file:
        self._packed = os.path.getsize(self._member.path)
      self._under.append(self._inner)
      try:
        self._inner = self._unpacked(kind)
      except (OSError, *DAMAGE) as error:
        raise damaged(self._member, error) from error
      outer = kind.name
      head, kind = self._look()
      if kind:  # one layer of compression is unpacked
        raise refused(self._member, kind, f" in {outer}")
    self.mark, encoding = formats.mark(head)
    encoding = encoding or self._declared
    # the file itself can be mapped and sought
    self.is_plain = not self._packed and encoding == "utf-8"
    wide = encoding.startswith(("utf-16", "utf-32"))
    if not wide and (b"\0" in head):
      raise binary(self._member, head)
    self._decoder = None
    if encoding not in ("utf-8", "ascii"):
      self._decoder = codecs.getincrementaldecoder(encoding)()
    self._read(len(self.mark))

  def _look(self) -> tuple[bytes, formats.Format | None]:
    """Returns the head of the inner file, then at its beginning, and its format."""
    try:
      head = _head(self._inner, self._piped)
    except (OSError, *DAMAGE) as error:
      raise damaged(self._member, error) from error
    if self._piped:
      self._inner = _Rewound(head, self._inner)
    else:
      self._inner.seek(0)
    kind = formats.recognise(head)
    if kind and kind.remedy:
      raise refused(self._member, kind, " in what it unpacks to" * bool(self._under))
    return head, kind

  def _unpacked(self, kind: formats.Format) -> io.IOBase:
    """Returns a stream of what the inner file holds."""
    if kind.unpack:
      return kind.unpack(self._inner)
    archive = zipfile.ZipFile(self._inner)
    self._under.append(archive)
    name = self._member.name or _only(self._member.path)
    return archive.open(name)

  def _read(self, size: int) -> bytes:
    """Reads the inner file, up to what a packed one may unpack to."""
    try:
      block = self._inner.read(size)
    except (OSError, *DAMAGE) as error:
      raise damaged(self._member, error) from error
    self._taken += len(block)
    if self._packed and self._taken > max(_ALWAYS_ALLOWED, _MAX_RATIO * self._packed):
      raise DataError(
        f"{self._member} unpacks to more than {_MAX_RATIO} times its {self._packed:,} "
        "bytes, which no text does: unpack it yourself if you trust it"
      )
    return block

  def _recoded(self, block: bytes) -> bytes:
    """Returns bytes of the file's encoding as UTF-8."""
    try:
      return self._decoder.decode(block, final=not block).encode()
    except UnicodeError as error:
      at = self._taken - len(block) + getattr(error, "start", 0)
      raise DataError(
        f"{self._member} is not {self._declared} near byte {at}: {CONVERT}"
      ) from error


def kind(path: str | Path) -> str:
  """Returns the name of a file's format (`formats.RECOGNISED`), "" for text."""
  with _file(plain_path(path)) as file:
    recognised = formats.recognise(_head(file))
  return recognised.name if recognised else ""


def members(path: str | Path) -> list[Member]:
  """Returns the files of a zip archive; of another file, the file itself.

  Raises:
    DataError: if it is a damaged archive, holds no file, or is no archive of files but
      a document (xlsx, docx, epub) or arrays (npz, PyTorch).
  """
  path = plain_path(path)
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


def _only(path: Path) -> str:
  """Returns the name of the only file of a zip archive."""
  files = members(path)
  if len(files) > 1:
    raise DataError(
      f"{path} is a zip archive of {len(files)} files ({files[0].name}, "
      f"{files[1].name}, ...): unpack it, and name the one to read"
    )
  return files[0].name


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


class _Rewound(io.RawIOBase):
  """A pipe from its beginning: the head that was read already, then the pipe."""

  def __init__(self, head: bytes, pipe: io.IOBase):
    self._head, self._pipe = head, pipe

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    part = self._head[: len(buffer)] or self._pipe.read1(len(buffer))
    self._head = self._head[len(buffer) :]
    buffer[: len(part)] = part
    return len(part)


def _file(path: Path) -> io.IOBase:
  """Opens a file; raises DataError if it cannot be opened."""
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
  """Returns the first bytes of a file, fewer if it is shorter."""
  if piped:  # a pipe may have fewer for now, and its writer may wait for an answer
    return file.read1(formats.HEAD)
  parts, left = [], formats.HEAD
  while left and (part := file.read(left)):  # a raw file may return less at once
    parts.append(part)
    left -= len(part)
  return b"".join(parts)


def plain_path(file: str | Path) -> Path:
  """Returns the path of a file, with `~` expanded."""
  return Path(file).expanduser()


def _encoding(name: str) -> str:
  """Returns Python's own name of a text encoding."""
  try:
    codec = codecs.lookup(name)
    "".encode(name)  # refuses codecs that are not of text
  except (LookupError, ValueError) as error:
    raise DataError(
      f"no encoding {name!r}: give task.encoding as utf-8, utf-16, latin-1, ..."
    ) from error
  return codec.name
