"""Packed files as they are read: what is in them, recoded to UTF-8, or why not.

This is the machinery of `jaxmem.data.opened`, which readers use.
"""

import codecs
import io
import os
import zipfile

from jaxmem.core.errors import DataError
from jaxmem.data import archives, formats
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
    """Reads into a buffer; returns the number of bytes, 0 at the end."""
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
    in_tar = not self._open_file and archives.is_tar(self._member.path)
    self._inner = self._open_file or self._opened(in_tar)
    self._piped = not self._inner.seekable()
    head, kind = self._look()
    if in_tar or (kind and (kind.unpack or kind.name == formats.ZIP)):
      self._packed = _ALWAYS_ALLOWED
      if not self._open_file:
        self._packed = os.path.getsize(self._member.path)
      outer = formats.TAR
      if not in_tar:
        outer = kind.name
        head, kind = self._inside(kind)
      if kind:  # one layer of compression is unpacked
        raise refused(self._member, kind, f" in {outer}")
    if kind:
      raise DataError(f"{self._member} is {kind.name} in a pipe: give it as a file")
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

  def _opened(self, in_tar: bool) -> io.IOBase:
    """Opens the file, or the file in a tar archive."""
    path = self._member.path
    if in_tar:
      return archives.TarFile(Member(path, self._member.name or archives.only(path)))
    return archives.open_file(path)

  def _look(self) -> tuple[bytes, formats.Format | None]:
    """Returns the head of the inner file, then at its beginning, and its format."""
    try:
      head = archives.head(self._inner, self._piped)
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

  def _inside(self, kind: formats.Format) -> tuple[bytes, formats.Format | None]:
    """Opens what the inner file holds, and looks at its head."""
    self._under.append(self._inner)
    try:
      self._inner = self._unpacked(kind)
    except (OSError, *DAMAGE) as error:
      raise damaged(self._member, error) from error
    return self._look()

  def _unpacked(self, kind: formats.Format) -> io.IOBase:
    """Returns a stream of what the inner file holds."""
    if kind.unpack:
      return kind.unpack(self._inner)
    archive = zipfile.ZipFile(self._inner)
    self._under.append(archive)
    return archive.open(self._member.name or archives.only(self._member.path))

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


class _Rewound(io.RawIOBase):
  """A pipe from its beginning: the head that was read already, then the pipe."""

  def __init__(self, head: bytes, pipe: io.IOBase):
    self._head, self._pipe = head, pipe

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    """Reads into a buffer; returns the number of bytes, 0 at the end."""
    part = self._head[: len(buffer)] or self._pipe.read1(len(buffer))
    self._head = self._head[len(buffer) :]
    buffer[: len(part)] = part
    return len(part)


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
