"""The documents of records: the text of a field of each, or of several rows together.

Every reader of records (JSON Lines, Parquet, WebDataset) says where each record lies
and what its fields are; what is a document of it is decided here.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import template
from jaxmem.data.bad_records import Tally
from jaxmem.data.file_slice import FileSlice

# What stands between the rows of a document.
JOINT = b"\n"


class Field(NamedTuple):
  """What of records is a document.

  Attributes:
    name: the field with the text, or a template of several.
    group: the field whose equal values join rows to one document; empty joins none.
  """

  name: str = "text"
  group: str = ""

  @staticmethod
  def parse(spec: str | None) -> "Field":
    """Reads "FIELD", "FIELD:group=NAME" or ":group=NAME"; None is "text"."""
    name, mark, group = (spec or "").rpartition(":group=")
    if mark and not group:
      raise DataError(
        f"source ...#{spec} names no field to group by: write FILE#FIELD:group=NAME"
      )
    field = Field(name or "text", group) if mark else Field(spec or "text")
    if template.is_template(field.name):
      template.parse(field.name)
    return field


class Row(NamedTuple):
  """A record of a file.

  Attributes:
    document: where it lies, of no size yet.
    where: the file and the number of the record, for messages.
    fields: its values by name.
    fault: what is wrong with the record; empty if nothing is.
  """

  document: FileSlice
  where: str
  fields: dict[str, Any]
  fault: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextSlice(FileSlice):
  """The text of a record that cannot be read alone, such as one of a JSON array.

  Attributes:
    text: the whole text.
  """

  text: bytes = b""

  def part(self, begin: int, size: int) -> bytes:
    at = self.start + begin
    return self.text[at : min(at + size, self.stop)]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GroupSlice(FileSlice):
  """The rows of a group, a line break between two of them.

  Attributes:
    rows: the rows, in their order.
  """

  rows: tuple[FileSlice, ...]

  def part(self, begin: int, size: int) -> bytes:
    begin += self.start
    end, parts, offset = min(begin + size, self.stop), [], 0
    for i, row in enumerate(self.rows):
      if offset >= end:
        break
      if i:
        parts.append(_between(JOINT, offset, begin, end))
        offset += len(JOINT)
      first, last = max(begin - offset, 0), min(end - offset, row.size)
      if first < last:
        parts.append(row.part(first, last - first))
      offset += row.size
    return b"".join(parts)


def _between(text: bytes, offset: int, begin: int, end: int) -> bytes:
  """Returns what of a text at an offset lies between two others."""
  return text[max(begin - offset, 0) : max(end - offset, 0)]


def documents(rows: Iterable[Row], field: Field, source: str) -> Iterator[FileSlice]:
  """Yields the documents of records; empty texts are no documents.

  Rows of a group stand in the order of the file, wherever they are in it, and the
  document has the name of its first row.

  Cost: a place in memory for each row, and one text.

  Args:
    rows: the records.
    field: what of them is a document.
    source: the file, for messages.

  Raises:
    DataError: at a bad record, see `jaxmem.data.bad_records`.
  """
  tally = Tally(source)
  groups: dict[str, list[FileSlice]] = {}
  for row in rows:
    try:
      if row.fault:
        raise DataError(row.fault)
      text = encoded(row.fields, field.name, row.where)
      group = _group(row.fields, field.group, row.where) if field.group else ""
    except DataError as error:
      tally.bad(row.where, error)
      continue
    if not text:
      continue
    tally.good()
    changes = {"text": text} if isinstance(row.document, TextSlice) else {}
    document = dataclasses.replace(row.document, stop=len(text), **changes)
    if field.group:
      groups.setdefault(group, []).append(document)
    else:
      yield document
  for parts in groups.values():
    size = sum(part.size for part in parts) + len(JOINT) * (len(parts) - 1)
    first = parts[0]
    yield GroupSlice(first.name, first.path, 0, size, rows=tuple(parts))
  tally.close()


def encoded(fields: dict[str, Any], name: str, where: str) -> bytes:
  """Returns the text of a field, or of a template of several, as bytes.

  Raises:
    DataError: if a field is missing or no text; begins with `where`.
  """
  try:
    if template.is_template(name) and name not in fields:
      return template.fill(name, lambda part: _text(fields, part)).encode()
    return _text(fields, name).encode()
  except UnicodeEncodeError:
    fault = f"its field {name!r} holds half of a surrogate pair, which is no text"
  except ValueError as error:
    fault = str(error)
  raise DataError(f"{where} is bad: {fault}")


def names(fields: dict[str, Any]) -> str:
  """Returns the names of fields, for messages."""
  return ", ".join(sorted(fields)[:20]) or "none"


def _text(fields: dict[str, Any], name: str) -> str:
  if name not in fields:
    raise ValueError(
      f"it has no field {name!r}, only {names(fields)}; name one as FILE#FIELD"
    )
  if not isinstance(fields[name], str):
    raise ValueError(f"its field {name!r} is no string")
  return fields[name]


def _group(fields: dict[str, Any], name: str, where: str) -> str:
  """Returns what rows of one document share: a text, a number, true or false."""
  value = fields.get(name)
  if not isinstance(value, str | int | float):
    fault = f"is {str(value)[:40]!r}" if name in fields else "is not there"
    raise DataError(
      f"{where} is bad: its field {name!r}, which rows are grouped by, {fault}: give "
      f"it a text or a number, or group by another of {names(fields)}"
    )
  return f"{type(value).__name__} {value}"  # "1" and 1 are different
