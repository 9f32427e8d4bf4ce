"""JSON Lines, and other files of JSON objects: lines, an array, or {"data": [...]}."""

import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.data import opened, record_texts
from jaxmem.data.file_slice import FileSlice
from jaxmem.data.record_texts import Field, Row, TextSlice
from jaxmem.data.strict_json import BOM, parse

# Suffixes of files that hold a JSON object a line, in any capitals.
SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".jl")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LineSlice(FileSlice):
  """The text in one line: its bytes `start` to `stop`.

  Attributes:
    field: the field of the line's object with the text, or a template of several.
    number: the line's number, from 1.
    offset: where the line begins in the unpacked file.
    length: bytes of the line.
  """

  field: str
  number: int
  offset: int
  length: int

  def part(self, begin: int, size: int) -> bytes:
    file = opened.Member(self.path, self.member)
    # The line is read again: a source of any size is offsets in memory, and no text.
    line = opened.read_at(file, self.offset, self.length)
    at = self.start + begin
    text = record_texts.encoded(_parsed(line, self), self.field, _where(self))
    return text[at : min(at + size, self.stop)]


def find(
  path: str | Path, name: str, field: str | Field = "text", member: str = ""
) -> Iterator[FileSlice]:
  """Yields the documents of a file; blank lines and empty texts are no documents.

  Args:
    path: the file.
    name: the beginning of the documents' names, before the number of their line.
    field: the field with the text or a template of several, perhaps with a group.
    member: the name in the file, if that is an archive.

  Yields:
    A slice for every record with text, or for every group of them.

  Raises:
    DataError: if the file is unreadable or a line is bad; names file, line and reason.
  """
  file = opened.Member(Path(path), member)
  field = field if isinstance(field, Field) else Field.parse(field)
  yield from record_texts.documents(_rows(file, name, field), field, str(file))


def _rows(file: opened.Member, name: str, field: Field) -> Iterator[Row]:
  """Yields the records of a file and where they lie."""
  with opened.stream(file) as data:
    if not has_lines(data, opened.suffix(file.name or file.path)):
      for number, (where, value, fault) in enumerate(_of_whole(file), start=1):
        document = TextSlice(f"{name}:{number:08}", file.path, 0, 0, file.name)
        yield Row(document, where, value or {}, fault)
      return
    data.seek(0)
    for line in opened.lines(data):
      where = f"{file} line {line.number}"
      document = LineSlice(
        f"{name}:{line.number:08}",
        file.path,
        0,
        0,
        file.name,
        field=field.name,
        number=line.number,
        offset=line.offset,
        length=line.size,
      )
      if line.data is None:
        yield Row(document, where, {}, opened.too_long(where, line.size))
      elif line.data.strip():
        try:
          yield Row(document, where, _parsed(line.data, document))
        except DataError as error:
          yield Row(document, where, {}, str(error))


def holds(file: opened.Member, field: str) -> bool:
  """Returns whether a file has records, the first of them with a text in a field."""
  try:
    _, first, fault = next(values(file, opened.suffix(file.name or file.path)))
  except (DataError, StopIteration):
    return False
  return not fault and isinstance(first.get(field), str)


def incoming(file: Iterable[bytes]) -> Iterator[bytes]:
  """Yields the lines of an open file or pipe, which may be packed, as they come.

  This is for commands that answer line by line: a line that is too long is replaced by
  a message, which is no JSON, so that it gets an answer of its own.

  Args:
    file: an open binary file, or the lines themselves.

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
  """Yields the records of a file of JSON: lines, an array, or {"data": [...]}.

  Args:
    file: the file.
    suffix: that of its name; if it says JSON Lines, a bad first line is a bad record.

  Yields:
    Where a record stands, the record, and what is wrong with it, or "".

  Raises:
    DataError: if the file has none of these forms; names it.
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
          value, fault = _object(parse(line.data, line.offset)), ""
        except DataError as error:
          value, fault = None, f"{where} is bad: {error}"
        yield where, value, fault


def whole(file: opened.Member) -> Any:
  """Parses a file that is one JSON value.

  Raises:
    DataError: if it is larger than a record may be, or no JSON.
  """
  try:
    return parse(opened.text(file).encode())
  except DataError as error:
    names_file = str(error).startswith(str(file.path))
    raise DataError(
      str(error) if names_file else f"{file} is no JSON, nor JSON Lines: {error}"
    ) from error


def has_lines(data: io.IOBase, suffix: str) -> bool:
  """Returns whether a file is JSON Lines, from its first two lines that are not blank.

  It is if the first line is an object and does not hold all records ({"data": [...]}).
  A file that is named as JSON Lines is, unless it begins as an array or is printed over
  several lines.

  Args:
    data: the file, at its beginning.
    suffix: that of its name.
  """
  lines = (
    line for line in opened.lines(data) if line.data is None or line.data.strip()
  )
  first, second = next(lines, None), next(lines, None)
  if first is None or first.data is None:
    return True
  begin = first.data.removeprefix(BOM).strip()
  # an array, or an object that is printed over several lines
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
  """Yields the records of a file that is one JSON value, as `values` does."""
  value = whole(file)
  if isinstance(value, dict):
    if not isinstance(value.get("data"), list):
      names = record_texts.names(value)
      raise DataError(
        f"{file} is one JSON object with the fields {names}: give JSON Lines, "
        'an array of objects, or {"data": [...]}'
      )
    value = value["data"]
  if not isinstance(value, list):
    raise DataError(f"{file} is no list of JSON objects: give JSON Lines, or an array")
  for number, record in enumerate(value, start=1):
    where = f"{file} record {number}"
    try:
      yield where, _object(record), ""
    except DataError as error:
      yield where, None, f"{where} is bad: {error}"


def _object(value: Any) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise DataError("it is no object")
  return value


def _where(document: LineSlice) -> str:
  file = opened.Member(document.path, document.member)
  return f"{file} line {document.number}"


def _parsed(line: bytes, document: LineSlice) -> dict[str, Any]:
  """Returns the object of a line; raises DataError if the line is bad."""
  try:
    return _object(parse(line, document.offset))
  except DataError as error:
    raise DataError(f"{_where(document)} is bad: {error}") from error
