"""Labelled texts, and any other records, from the files that people have.

JSON Lines, or a JSON array of objects; tables (CSV, TSV); lines of a label and a text;
a folder or a zip archive with a folder for each label; or `tfds:NAME`. A file may be
packed, see `jaxmem.data.opened`. The name of a file says which of these it is, in any
capitals; where it says nothing, or another thing than its first line, the
first line does.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxmem.core.errors import DataError
from jaxmem.data import jsonl, opened, strict_json, tables, template
from jaxmem.data.bad_records import Tally

_TFDS = "tfds:"
_TABLES = (".csv", ".tsv", ".tab", ".psv")
_JSON = (".json", *jsonl.SUFFIXES)
T = TypeVar("T")


class Record(NamedTuple):
  """What a file says of one thing.

  Attributes:
    where: the file and the line, for messages.
    fields: by name.
    fault: what is wrong with the whole record, empty if nothing.
  """

  where: str
  fields: dict[str, Any]
  fault: str = ""

  def text(self, name: str) -> str:
    """A field that must hold text, or a template of several.

    Raises:
      DataError: if it is not there, or is no text.
    """
    if template.is_template(name) and name not in self.fields:
      value = template.fill(name, self._field)
    else:
      value = self._field(name)
    if not value.strip():
      raise DataError(f"{self.where}: field {name!r} is empty: leave the record out")
    return value

  def _field(self, name: str) -> str:
    if name not in self.fields:
      known = ", ".join(map(str, self.fields)) or "none"
      raise DataError(f"{self.where} has no field {name!r}, only {known}")
    return checked(self.fields[name], f"{self.where}: field {name!r}")


def checked(value: Any, where: str) -> str:
  """A value that must be text.

  Raises:
    DataError: if it is of another type, or holds half of a surrogate pair.
  """
  if not isinstance(value, str):
    raise DataError(f"{where} is {_shown(value)}, which is no text")
  try:
    value.encode()
  except UnicodeEncodeError as error:
    raise DataError(f"{where} holds half of a surrogate pair: no text") from error
  return value


def collect(
  source: str, make: Callable[[Record], T | None], hint: str, encoding: str = "utf-8"
) -> list[T]:
  """What `make` makes of each record of a source, in order.

  A record is bad if it cannot be read or `make` raises DataError; see
  `jaxmem.data.bad_records` for what becomes of it.

  Args:
    source: see the top of this file.
    make: of a record; None leaves it out.
    hint: where such data can be had, for the message of what is missing.
    encoding: of files without a byte-order mark.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  found, tally = [], Tally(source)
  for record in _every(source, hint, encoding):
    try:
      if record.fault:
        raise DataError(record.fault)
      made = make(record)
    except DataError as error:
      tally.bad(record.where, error)
      continue
    tally.good()
    if made is not None:
      found.append(made)
  tally.close()
  return found


def read(source: str, hint: str, encoding: str = "utf-8") -> Iterator[Record]:
  """The records of a source, in order; bad ones are skipped or stop, see `collect`.

  Lines of a label and a text, and folders of texts, have the fields "label" and "text";
  columns of a table without a header are named "1", "2", ...

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  yield from collect(source, lambda record: record, hint, encoding)


def lines(
  source: str | Path | opened.Member, encoding: str = "utf-8"
) -> Iterator[tuple[int, str, str]]:
  """The lines of a file of text: number from 1, text, and what is wrong with it or "".

  A byte-order mark at the beginning of a line is left out: it stands there where files
  were joined.
  """
  with opened.stream(source, encoding) as data:
    for line in opened.lines(data):
      try:
        text, fault = line.text(str(source)).removeprefix("\ufeff"), ""
      except DataError as error:
        text, fault = "", str(error)
      yield line.number, text, fault


def located(source: str, hint: str) -> Path:
  """The file or folder that a source names.

  Raises:
    DataError: if there is none; gives the hint.
  """
  path = Path(source).expanduser()
  try:
    there = bool(source) and path.exists()
  except (OSError, ValueError):  # a name too long, or with a NUL
    there = False
  if not there:
    raise DataError(f"no file {source!r}: {hint}")
  return path


def _every(source: str, hint: str, encoding: str) -> Iterator[Record]:
  if source.startswith(_TFDS):
    yield from _dataset(source)
    return
  path = located(source, hint)
  if path.is_dir():
    opened.check_folder(path)
    yield from _folder(path, encoding)
    return
  files = opened.members(path)
  if len(files) > 1:
    yield from _archive(path, files, encoding)
  else:
    yield from _file(files[0], encoding)


def _file(file: opened.Member, encoding: str) -> Iterator[Record]:
  """The records of one file, by its first bytes, its name and its first line."""
  yield from READERS[_form(file, encoding)](file, encoding)


def _form(file: opened.Member, encoding: str) -> str:
  """Which of `READERS` reads a file."""
  if (kind := opened.kind(file.path)) in READERS:
    return kind
  suffix = opened.suffix(file.name or file.path)
  with opened.stream(file, encoding) as data:
    first = next((n.data for n in opened.lines(data) if n.data and n.data.strip()), b"")
  if suffix in _JSON or (first.startswith(b"{") and strict_json.is_json(first)):
    return "JSON"
  return "table" if suffix in _TABLES else "labelled lines"


def _json(file: opened.Member, encoding: str) -> Iterator[Record]:
  del encoding  # JSON is UTF-8, or has a byte-order mark
  for where, value, why in jsonl.values(file, opened.suffix(file.name or file.path)):
    yield Record(where, value or {}, why)


def _table(file: opened.Member, encoding: str) -> Iterator[Record]:
  table = tables.read(file, encoding, header=None)
  for row in table.rows:
    where = f"{file} line {row.line}"
    names = table.header or [str(n + 1) for n in range(len(row.cells))]
    fields = {} if row.fault else dict(zip(names, row.cells, strict=True))
    yield Record(where, fields, row.fault and f"{where} {row.fault}")


def _labelled_lines(file: opened.Member, encoding: str) -> Iterator[Record]:
  for number, line, fault in lines(file, encoding):
    where = f"{file} line {number}"
    label, *rest = line.strip().split(maxsplit=1)[:2] or [""]
    if label and not rest:
      fault = f"{where} is {_shown(label)}: a label, a space and a text expected"
    if label or fault:
      yield Record(where, {"label": label, "text": "".join(rest)}, fault)


# What reads the records of one file, by its form. A file of another format, Parquet
# say, is read as soon as a reader stands here by the name of `formats.RECOGNISED`.
READERS = {"JSON": _json, "table": _table, "labelled lines": _labelled_lines}


def _folder(path: Path, encoding: str) -> Iterator[Record]:
  """Every text in a folder; the folder that it lies in is its label."""
  files = [f for f in sorted(path.glob("**/*")) if f.is_file()]
  own = [(f.relative_to(path).as_posix(), opened.Member(f)) for f in files]
  yield from _texts(path, own, encoding)


def _archive(path: Path, files: list[opened.Member], encoding: str) -> Iterator[Record]:
  """The same of a zip archive."""
  yield from _texts(path, [(file.name, file) for file in files], encoding)


def _texts(
  path: Path, files: list[tuple[str, opened.Member]], encoding: str
) -> Iterator[Record]:
  count = 0
  for name, file in files:
    label = Path(name).parent.name
    if opened.suffix(name) != ".txt" or not label:
      continue
    where = f"{path}: {name}"
    try:
      text, fault = opened.text(file, encoding), ""
    except DataError as error:
      text, fault = "", str(error)
    if text.strip() or fault:
      count += 1
      yield Record(where, {"label": label, "text": text}, fault)
  if not count:
    raise DataError(
      f"{path} has no folder with .txt files: one for each label expected, or name one "
      "of its files"
    )


def _dataset(source: str) -> Iterator[Record]:
  from jaxmem.data import datasets

  yield from (Record(f"{source} {i}", one) for i, one in datasets.records(source))


def _shown(value: Any) -> str:
  shown = repr(value)
  return shown if len(shown) <= 80 else f"{shown[:76]} ..."
