"""JSON Lines, and other files of JSON objects: lines, an array, or {"data": [...]}."""

import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.data import opened, template
from jaxmem.data.bad_records import Tally
from jaxmem.data.piece import Piece
from jaxmem.data.strict_json import BOM, parse

# Names of files that hold a JSON object a line, in any capitals.
SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".jl")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line(Piece):
  """The text in one line: its bytes `start` to `stop`.

  Attributes:
    field: of the line's object, or a template of several.
    number: of the line, from 1.
    offset: of its first byte in the file, unpacked.
    length: its bytes.
  """

  field: str
  number: int
  offset: int
  length: int

  def part(self, begin: int, size: int) -> bytes:
    file = opened.Member(self.path, self.member)
    line = opened.read_at(file, self.offset, self.length)
    at = self.start + begin
    return _text(line, self)[at : min(at + size, self.stop)]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Held(Piece):
  """The text of a record that cannot be read alone, as those of an array.

  Attributes:
    text: all of it.
  """

  text: bytes

  def part(self, begin: int, size: int) -> bytes:
    at = self.start + begin
    return self.text[at : min(at + size, self.stop)]


def find(path: str | Path, name: str, field: str, member: str = "") -> Iterator[Piece]:
  """The documents of a file; blank lines and empty texts are none.

  Args:
    path: the file.
    name: what documents are named by, before the number of their line.
    field: where the text is in each line, or a template.
    member: of the file, if it is a zip archive.

  Yields:
    A piece for every record with text.

  Raises:
    DataError: if the file is unreadable or a line is bad; names file, line and reason.
  """
  path = Path(path)
  file = opened.Member(path, member)
  tally = Tally(str(file))
  if template.is_template(field):
    template.parse(field)
  with opened.stream(file) as data:
    if not has_lines(data, opened.suffix(member or path)):
      yield from _held(file, name, field, tally)
      return
    data.seek(0)
    for line in opened.lines(data):
      piece = Line(
        f"{name}:{line.number:08}",
        path,
        0,
        0,
        member,
        field=field,
        number=line.number,
        offset=line.offset,
        length=line.size,
      )
      try:
        if line.data is None:
          raise DataError(opened.too_long(_where(piece), line.size))
        size = len(_text(line.data, piece)) if line.data.strip() else 0
      except DataError as error:
        tally.bad(_where(piece), error)
        continue
      if size:
        tally.good()
        yield dataclasses.replace(piece, stop=size)
  tally.close()


def holds(file: opened.Member, field: str) -> bool:
  """Whether a file is of records, the first of which has a text in a field."""
  try:
    _, first, why = next(values(file, opened.suffix(file.name or file.path)))
  except (DataError, StopIteration):
    return False
  return not why and isinstance(first.get(field), str)


def _held(file: opened.Member, name: str, field: str, tally: Tally) -> Iterator[Piece]:
  for number, (where, value, why) in enumerate(_of_whole(file), start=1):
    try:
      if why:
        raise DataError(why)
      text = _encoded(value, field, where)
    except DataError as error:
      tally.bad(where, error)
      continue
    if text:
      tally.good()
      own = f"{name}:{number:08}"
      yield Held(own, file.path, 0, len(text), file.name, text=text)
  tally.close()


def incoming(file: Iterable[bytes]) -> Iterator[bytes]:
  """The lines of an open file or pipe that may be packed, as soon as they are there.

  For what answers line by line: in the place of a line that is too long stands a word
  on that, which is no JSON, so that it has an answer of its own.

  Args:
    file: open; or the lines themselves.

  Raises:
    DataError: see `opened.stream`.
  """
  if not isinstance(file, io.BufferedIOBase):
    yield from file
    return
  with opened.attached(file) as data:
    for line in opened.lines(data):
      if line.data is None:
        yield opened.too_long("it", line.size).encode()
      else:
        yield line.data


def values(file: opened.Member, suffix: str) -> Iterator[tuple[str, Any, str]]:
  """The records of a file of JSON, whichever of its forms it has.

  Args:
    file: to read.
    suffix: of its name; where it says JSON Lines, a bad first line is a bad record.

  Yields:
    Where a record stands, the record, and what is wrong with it, else "".

  Raises:
    DataError: if the file is of none of the forms; names it.
  """
  with opened.stream(file) as data:
    if not has_lines(data, suffix):
      yield from _of_whole(file)
      return
    data.seek(0)
    for line in opened.lines(data):
      where = f"{file} line {line.number}"
      if line.data is None:
        yield where, None, opened.too_long(where, line.size)
      elif line.data.strip():
        try:
          value, why = _object(parse(line.data, line.offset)), ""
        except DataError as error:
          value, why = None, f"{where} is bad: {error}"
        yield where, value, why


def whole(file: opened.Member) -> Any:
  """What a file of JSON holds that is no JSON Lines.

  Raises:
    DataError: if it is larger than a record may be, or no JSON.
  """
  try:
    return parse(opened.text(file).encode())
  except DataError as error:
    known = str(error).startswith(str(file.path))
    raise DataError(
      str(error) if known else f"{file} is no JSON, nor JSON Lines: {error}"
    ) from error


def has_lines(data: io.IOBase, suffix: str) -> bool:
  """Whether a file has an object a line: its first line is one, and not all there is.

  A file with a name of JSON Lines has, unless it begins as an array or is printed over
  several lines.
  """
  some = (line for line in opened.lines(data) if line.data is None or line.data.strip())
  first, second = next(some, None), next(some, None)
  if first is None or first.data is None:
    return True
  begin = first.data.removeprefix(BOM).strip()
  if begin.startswith(b"[") or begin == b"{":
    return False
  if suffix in SUFFIXES:
    return True
  try:
    value = parse(first.data)
  except DataError:
    return False
  return second is not None or not (isinstance(value, dict) and "data" in value)


def _of_whole(file: opened.Member) -> Iterator[tuple[str, Any, str]]:
  value = whole(file)
  if isinstance(value, dict):
    if not isinstance(value.get("data"), list):
      raise DataError(
        f"{file} is one JSON object with the fields {_names(value)}: give JSON Lines, "
        'an array of objects, or {"data": [...]}'
      )
    value = value["data"]
  if not isinstance(value, list):
    raise DataError(f"{file} is no list of JSON objects: give JSON Lines, or an array")
  for number, one in enumerate(value, start=1):
    where = f"{file} record {number}"
    try:
      yield where, _object(one), ""
    except DataError as error:
      yield where, None, f"{where} is bad: {error}"


def _object(value: Any) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise DataError("it is no object")
  return value


def _names(value: dict) -> str:
  return ", ".join(sorted(value)[:20]) or "none"


def _where(piece: Line) -> str:
  file = opened.Member(piece.path, piece.member)
  return f"{file} line {piece.number}"


def _text(line: bytes, piece: Line) -> bytes:
  """The field's text; DataError if the line is bad."""
  try:
    value = _object(parse(line, piece.offset))
  except DataError as error:
    raise DataError(f"{_where(piece)} is bad: {error}") from error
  return _encoded(value, piece.field, _where(piece))


def _encoded(value: dict[str, Any], field: str, where: str) -> bytes:
  """A field, or a template of fields, as bytes."""
  try:
    if template.is_template(field) and field not in value:
      return template.fill(field, lambda name: _field(value, name)).encode()
    return _field(value, field).encode()
  except UnicodeEncodeError:
    why = f"its field {field!r} holds half of a surrogate pair, which is no text"
  except ValueError as error:
    why = str(error)
  raise DataError(f"{where} is bad: {why}")


def _field(value: dict[str, Any], name: str) -> str:
  if name not in value:
    raise ValueError(
      f"it has no field {name!r}, only {_names(value)}; name one as FILE#FIELD"
    )
  if not isinstance(value[name], str):
    raise ValueError(f"its field {name!r} is no string")
  return value[name]
