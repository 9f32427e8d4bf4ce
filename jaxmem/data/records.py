"""Labelled texts, and any other records, from the files that people have.

A source is JSON Lines, or a JSON array of objects; a table (CSV, TSV); lines of a label
and a text; Parquet or Arrow; a folder that Hugging Face's `datasets` saved; a tar
archive of WebDataset; a folder or an archive (zip, tar) with a folder for each label; a
pattern of files of records; `-`, standard input; or `tfds:NAME`. A file may be packed,
see `jaxmem.data.opened`. The first bytes of a file say whether it is binary; the name
of a text says which of these it is, in any capitals; where it says nothing, or
contradicts the first line, the first line decides.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from jaxmem.core.errors import DataError
from jaxmem.data import (
  columnar,
  jsonl,
  opened,
  saved_datasets,
  shards,
  strict_json,
  tables,
)
from jaxmem.data.bad_records import Tally
from jaxmem.data.record import Record, checked, short

__all__ = [
  "READERS",
  "Record",
  "checked",
  "collect",
  "lines",
  "located",
  "read",
  "single",
]

_TFDS = "tfds:"
_TABLES = (".csv", ".tsv", ".tab", ".psv")
_JSON = (".json", *jsonl.SUFFIXES)
_HEADER = re.compile(rb"[^\s,;|]+([,;|])[^\s,;|]+(\1[^\s,;|]+)*")
T = TypeVar("T")


def collect(
  source: str, make: Callable[[Record], T | None], hint: str, encoding: str = "utf-8"
) -> list[T]:
  """Returns what `make` makes of each record of a source, in order.

  A record is bad if it cannot be read or `make` raises DataError; see
  `jaxmem.data.bad_records` for what happens to it.

  Args:
    source: see the module's docstring.
    make: makes an item of a record; None leaves the record out.
    hint: where such data can be had, for the message about a missing source.
    encoding: that of files without a byte-order mark.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  items, tally = [], Tally(source)
  for record in _records(source, hint, encoding):
    try:
      if record.fault:
        raise DataError(record.fault)
      item = make(record)
    except DataError as error:
      tally.bad(record.where, error)
      continue
    tally.good()
    if item is not None:
      items.append(item)
  tally.close()
  return items


def read(source: str, hint: str, encoding: str = "utf-8") -> Iterator[Record]:
  """Yields the records of a source in order; see `collect` for bad ones.

  Lines of a label and a text, and folders of texts, have the fields "label" and "text";
  columns of a table without a header are named "1", "2", ...

  Args:
    source: see the module's docstring.
    hint: where such data can be had, for the message about a missing source.
    encoding: that of files without a byte-order mark.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  yield from collect(source, lambda record: record, hint, encoding)


def lines(
  source: str | Path | opened.Member, encoding: str = "utf-8"
) -> Iterator[tuple[int, str, str]]:
  """Yields the lines of a file of text: number from 1, text, and its fault or "".

  A byte-order mark at the beginning of a line is left out: files that were joined have
  one there.
  """
  with opened.stream(source, encoding) as data:
    for line in opened.lines(data):
      try:
        text, fault = line.text(str(source)).removeprefix("\ufeff"), ""
      except DataError as error:
        text, fault = "", str(error)
      yield line.number, text, fault


def located(source: str, hint: str) -> Path:
  """Returns the file or folder that a source names.

  Raises:
    DataError: if there is none; the message ends with the hint.
  """
  path = opened.plain_path(source)
  try:
    exists = bool(source) and path.exists()
  except (OSError, ValueError):  # the name is too long, or has a NUL
    exists = False
  if not exists:
    raise DataError(f"no file {source!r}: {hint}")
  return path


def single(source: str, hint: str) -> opened.Member | None:
  """Returns the file of a source that is one file of text, else None.

  Raises:
    DataError: if a path has nothing there; the message ends with the hint.
  """
  if source.startswith(_TFDS) or _pattern(source):
    return None
  path = located(source, hint)
  if path.is_dir() or opened.kind(path) in columnar.FORMATS:
    return None
  files = opened.members(path)
  return files[0] if len(files) == 1 else None


def _pattern(source: str) -> list[Path]:
  """Returns the files of a pattern in the order of their names; [] for a path."""
  path = os.path.expanduser(source)
  if not glob.has_magic(path) or os.path.exists(path):
    return []
  return [p for p in map(Path, sorted(glob.glob(path, recursive=True))) if p.is_file()]


def _records(source: str, hint: str, encoding: str) -> Iterator[Record]:
  """Yields all records of a source, bad ones with their faults."""
  if source.startswith(_TFDS):
    yield from _dataset(source)
    return
  for path in _pattern(source) or [located(source, hint)]:
    if not path.is_dir():
      yield from _file_or_archive(path, encoding)
    elif saved_datasets.is_saved(path):
      for file in saved_datasets.files(path):
        yield from _file(opened.Member(file), encoding)
    else:
      yield from _folder(path, encoding)


def _file_or_archive(path: Path, encoding: str) -> Iterator[Record]:
  """Yields the records of a file, or of the files in an archive."""
  if shards.is_shard(path):
    yield from (Record(*row) for row in shards.values(path))
    return
  files = opened.members(path)
  if len(files) > 1:
    yield from _archive(path, files, encoding)
  else:
    yield from _file(files[0], encoding)


def _file(file: opened.Member, encoding: str) -> Iterator[Record]:
  """Yields the records of one file, by its first bytes, name and first line."""
  yield from READERS[_form(file, encoding)](file, encoding)


def _form(file: opened.Member, encoding: str) -> str:
  """Returns which of `READERS` reads a file."""
  # The first bytes decide before the name: a reader of a binary format has its own.
  if (kind := opened.kind(file.path)) in READERS:
    return kind
  suffix = opened.suffix(file.name or file.path)
  with opened.stream(file, encoding) as data:
    lines_of_text = (n.data for n in opened.lines(data) if n.data and n.data.strip())
    first = next(lines_of_text, b"")
  if suffix in _JSON or (first.startswith(b"{") and strict_json.is_json(first)):
    return "JSON"
  # a label and a text have a space between them; names of columns need none
  is_header = _HEADER.fullmatch(first.strip())
  return "table" if suffix in _TABLES or is_header else "labelled lines"


def _json(file: opened.Member, encoding: str) -> Iterator[Record]:
  del encoding  # JSON is UTF-8, or has a byte-order mark
  for where, value, fault in jsonl.values(file, opened.suffix(file.name or file.path)):
    yield Record(where, value or {}, fault)


def _columnar(file: opened.Member, encoding: str) -> Iterator[Record]:
  del encoding  # texts of these formats are UTF-8
  yield from (Record(*row) for row in columnar.values(file.path))


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
    label, *texts = line.strip().split(maxsplit=1)[:2] or [""]
    if label and not texts:
      fault = f"{where} is {short(label)}: a label, a space and a text expected"
    if label or fault:
      yield Record(where, {"label": label, "text": "".join(texts)}, fault)


# The readers of one file's records, by its form. A file of another binary format is
# read as soon as a reader is here under its name in `formats.RECOGNISED`.
READERS = {"JSON": _json, "table": _table, "labelled lines": _labelled_lines} | {
  name: _columnar for name in columnar.FORMATS
}


def _folder(path: Path, encoding: str) -> Iterator[Record]:
  """Yields every text in a folder; the folder that it lies in is its label."""
  files = [f for f in sorted(path.glob("**/*")) if f.is_file()]
  members = [(f.relative_to(path).as_posix(), opened.Member(f)) for f in files]
  yield from _texts(path, members, encoding)


def _archive(path: Path, files: list[opened.Member], encoding: str) -> Iterator[Record]:
  """Yields every text in an archive, as `_folder` does."""
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

  yield from (Record(f"{source} {i}", fields) for i, fields in datasets.records(source))
