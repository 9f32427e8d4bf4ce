"""JSON Lines: each line of a file a document, the text of one field."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from jaxmem.data.errors import DataError
from jaxmem.data.piece import Piece

_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line(Piece):
  """The text in one line: its bytes `start` to `stop`.

  Attributes:
    field: of the line's object.
    number: of the line, from 1.
    offset: of its first byte in the file.
    length: its bytes.
  """

  field: str
  number: int
  offset: int
  length: int

  def read(self) -> bytes:
    line = Piece(self.name, self.path, self.offset, self.offset + self.length).read()
    return _text(line, self)[self.start : self.stop]


def find(path: Path, name: str, field: str) -> Iterator[Line]:
  """The documents of a file; blank lines and empty texts are none.

  Args:
    path: the file.
    name: what documents are named by, before the number of their line.
    field: where the text is in each line.

  Yields:
    A piece for every line with text.

  Raises:
    DataError: if the file is unreadable or a line is bad; names file, line and reason.
  """
  offset = 0
  with _open(path) as file:
    for number, line in enumerate(file, start=1):
      if line.strip():
        piece = Line(
          f"{name}:{number:08}",
          path,
          0,
          0,
          field=field,
          number=number,
          offset=offset,
          length=len(line),
        )
        if size := len(_text(line, piece)):
          yield dataclasses.replace(piece, stop=size)
      offset += len(line)


def parse(line: bytes, offset: int | None = None) -> Any:
  """What a line of JSON holds.

  Args:
    line: its bytes; a byte order mark is skipped where a file may begin.
    offset: of the line in its file, by which a bad byte is named; None names it by its
      place in the line.

  Raises:
    DataError: with the reason alone; who knows the line names it.
  """
  skip = len(_BOM) if not offset and line.startswith(_BOM) else 0
  try:
    return json.loads(line[skip:].decode())
  except UnicodeDecodeError as error:
    at, of = skip + error.start, "line" if offset is None else "file"
    why = f"it is not UTF-8 at byte {(offset or 0) + at} of the {of}"
  except RecursionError:
    why = "it is nested too deeply"
  except ValueError as error:
    why = str(error)
  raise DataError(why)


def _open(path: Path) -> IO[bytes]:
  try:
    return open(path, "rb")
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}; mend the file") from error


def _text(line: bytes, piece: Line) -> bytes:
  """The field's text; DataError if the line is bad."""
  try:
    value = parse(line, piece.offset)
    if not isinstance(value, dict):
      raise ValueError("it is no object")
    if piece.field not in value:
      known = ", ".join(sorted(value)) or "none"
      raise ValueError(
        f"it has no field {piece.field!r}, only {known}; name one as FILE#FIELD"
      )
    if not isinstance(value[piece.field], str):
      raise ValueError(f"its field {piece.field!r} is no string")
    return value[piece.field].encode()
  except UnicodeEncodeError:
    why = f"its field {piece.field!r} holds half of a surrogate pair, which is no text"
  except ValueError as error:
    why = str(error)
  raise DataError(f"{piece.path} line {piece.number} is bad: {why}")
