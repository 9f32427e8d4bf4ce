"""JSON Lines, and other files of JSON objects: lines, an array, or {"data": [...]}."""

import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.data import opened, template
from jaxmem.data.bad_records import Tally
from jaxmem.data.file_slice import FileSlice
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
    return _text(line, self)[at : min(at + size, self.stop)]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextSlice(FileSlice):
  """The text of a record that cannot be read alone, such as one of a JSON array.

  Attributes:
    text: the whole text.
  """

  text: bytes

  def part(self, begin: int, size: int) -> bytes:
    at = self.start + begin
    return self.text[at : min(at + size, self.stop)]


def find(
  path: str | Path, name: str, field: str, member: str = ""
) -> Iterator[FileSlice]:
  """Yields the documents of a file; blank lines and empty texts are no documents.

  Args:
    path: the file.
    name: the beginning of the documents' names, before the number of their line.
    field: the field with the text, or a template of several.
    member: the name in the file, if that is a zip archive.

  Yields:
    A slice for every record with text.

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
      yield from _of_array(file, name, field, tally)
      return
    data.seek(0)
    for line in opened.lines(data):
      document = LineSlice(
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
          raise DataError(opened.too_long(_where(document), line.size))
        size = len(_text(line.data, document)) if line.data.strip() else 0
      except DataError as error:
        tally.bad(_where(document), error)
        continue
      if size:
        tally.good()
        yield dataclasses.replace(document, stop=size)
  tally.close()


def holds(file: opened.Member, field: str) -> bool:
  """Returns whether a file has records, the first of them with a text in a field."""
  try:
    _, first, fault = next(values(file, opened.suffix(file.name or file.path)))
  except (DataError, StopIteration):
    return False
  return not fault and isinstance(first.get(field), str)


def _of_array(
  file: opened.Member, name: str, field: str, tally: Tally
) -> Iterator[FileSlice]:
  """Yields the documents of a file that is one JSON value, which is read whole."""
  for number, (where, value, fault) in enumerate(_of_whole(file), start=1):
    try:
      if fault:
        raise DataError(fault)
      text = _encoded(value, field, where)
    except DataError as error:
      tally.bad(where, error)
      continue
    if text:
      tally.good()
      full_name = f"{name}:{number:08}"
      yield TextSlice(full_name, file.path, 0, len(text), file.name, text=text)
  tally.close()


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
      raise DataError(
        f"{file} is one JSON object with the fields {_names(value)}: give JSON Lines, "
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


def _names(value: dict) -> str:
  return ", ".join(sorted(value)[:20]) or "none"


def _where(document: LineSlice) -> str:
  file = opened.Member(document.path, document.member)
  return f"{file} line {document.number}"


def _text(line: bytes, document: LineSlice) -> bytes:
  """Returns the field's text; raises DataError if the line is bad."""
  try:
    value = _object(parse(line, document.offset))
  except DataError as error:
    raise DataError(f"{_where(document)} is bad: {error}") from error
  return _encoded(value, document.field, _where(document))


def _encoded(value: dict[str, Any], field: str, where: str) -> bytes:
  """Returns a field, or a template of fields, as bytes."""
  try:
    if template.is_template(field) and field not in value:
      return template.fill(field, lambda name: _field(value, name)).encode()
    return _field(value, field).encode()
  except UnicodeEncodeError:
    fault = f"its field {field!r} holds half of a surrogate pair, which is no text"
  except ValueError as error:
    fault = str(error)
  raise DataError(f"{where} is bad: {fault}")


def _field(value: dict[str, Any], name: str) -> str:
  if name not in value:
    raise ValueError(
      f"it has no field {name!r}, only {_names(value)}; name one as FILE#FIELD"
    )
  if not isinstance(value[name], str):
    raise ValueError(f"its field {name!r} is no string")
  return value[name]
