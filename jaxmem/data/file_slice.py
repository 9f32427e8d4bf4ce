"""A document before it is in a corpus: where it lies, and how it is read."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.data import opened

# Bytes that are read at once for a digest.
_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class FileSlice:
  """One document: the bytes `start` to `stop` of a file, or of a record in one.

  Attributes:
    name: its path below the root of its source.
    path: the file, or the directory that holds the record.
    start: offset of its first byte; in a packed file, of what the file unpacks to.
    stop: offset after its last byte.
    member: the name in the file, if that is a zip archive.
    packed: whether the file is compressed or in another encoding than UTF-8.
  """

  name: str
  path: Path
  start: int
  stop: int
  member: str = ""
  packed: bool = False

  @property
  def size(self) -> int:
    """Bytes of the document."""
    return self.stop - self.start

  @property
  def group(self) -> str:
    """The first component of the name; a split keeps groups whole."""
    return self.name.split("/")[0]

  @property
  def whole(self) -> bool:
    """Whether the last byte is the end of a document, which can be predicted."""
    return True

  def read(self) -> bytes:
    """Returns the whole document."""
    return self.part(0, self.size)

  def part(self, begin: int, size: int) -> bytes:
    """Returns `size` bytes from the `begin`-th on; fewer at the end of the document.

    Raises:
      DataError: if the file cannot be read.
    """
    size = min(size, self.size - begin)
    # a packed file has no byte to seek to: its stream is read from the beginning, or on
    if self.packed:
      file = opened.Member(self.path, self.member)
      return opened.read_at(file, self.start + begin, size)
    try:
      with open(self.path, "rb") as file:
        file.seek(self.start + begin)
        return file.read(size)
    except OSError as error:
      raise DataError(
        f"cannot read {self.path}: {error.strerror}; mend the file or leave it out of "
        "the source"
      ) from error

  def border(self, at: int) -> int:
    """Returns the last offset up to `at` that is not inside a UTF-8 character."""
    # A character has at most four bytes: three on each side decide.
    begin, end = max(at - 3, self.start), min(at + 3, self.stop)
    around = dataclasses.replace(self, start=begin, stop=end).read()
    return begin + utf8.border(around, at - begin)


def digest(documents: Sequence[FileSlice]) -> str:
  """Returns SHA-256, shortened, over the names, sizes and bytes of documents.

  Cost: every byte is read once, a small part of the time that a model takes.
  """
  sha = hashlib.sha256()
  for document in documents:
    sha.update(f"{document.name}\n{document.size}\n".encode())
    for begin in range(0, document.size, _BYTES):
      sha.update(document.part(begin, _BYTES))
  return sha.hexdigest()[:16]


Piece = FileSlice  # the name before 0.2; it goes in 0.3
