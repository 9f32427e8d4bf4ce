"""Labelled texts, and any other records, from the files that people have.

JSON Lines (`.jsonl`), tables (`.csv`, `.tsv`), lines of a label and a text (any other
file), a directory or a `.zip` with a folder for each label, or `tfds:NAME`. A file may
be gzipped.
"""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.data import jsonl
from jaxmem.data.errors import DataError

_TFDS = "tfds:"


class Record(NamedTuple):
  """What a file says of one thing.

  Attributes:
    where: the file and the line, for messages.
    fields: by name.
  """

  where: str
  fields: dict[str, Any]

  def text(self, name: str) -> str:
    """A field that must hold text.

    Raises:
      DataError: if it is not there, or is no text.
    """
    if name not in self.fields:
      known = ", ".join(map(str, self.fields)) or "none"
      raise DataError(f"{self.where} has no field {name!r}, only {known}")
    value = self.fields[name]
    if not isinstance(value, str):
      raise DataError(f"{self.where}: field {name!r} is {value!r}, which is no text")
    if not value.strip():
      raise DataError(f"{self.where}: field {name!r} is empty: leave the record out")
    return value


def read(source: str, hint: str, encoding: str = "utf-8") -> Iterator[Record]:
  """The records of a source, in order.

  Lines of a label and a text, and folders of texts, have the fields "label" and "text".

  Args:
    source: see the top of this file.
    hint: where such data can be had, for the message of what is missing.
    encoding: of the files.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  if source.startswith(_TFDS):
    yield from _dataset(source)
    return
  path = Path(source).expanduser()
  if not source or not path.exists():
    raise DataError(f"no file {source!r}: {hint}")
  suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
  if path.is_dir() or suffix == ".zip":
    yield from _folders(path, encoding)
  elif suffix == ".jsonl":
    yield from _lines_of_json(path)
  elif suffix in (".csv", ".tsv"):
    yield from _table(path, encoding, "," if suffix == ".csv" else "\t")
  else:
    yield from _labelled_lines(path, encoding)


def content(path: Path) -> bytes:
  """The bytes of a file that may be gzipped.

  Raises:
    DataError: if it cannot be read.
  """
  try:
    return (
      gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    )
  except (OSError, EOFError) as error:
    raise DataError(f"cannot read {path}: {error}; mend the file") from error


def decoded(data: bytes, where: str, encoding: str) -> str:
  """Bytes as text.

  Raises:
    DataError: if they are none, or there is no such encoding.
  """
  try:
    return data.decode(encoding)
  except UnicodeDecodeError as error:
    raise DataError(
      f"{where} is not {encoding} at byte {error.start}: convert it, or name its "
      "encoding with data.encoding"
    ) from error
  except LookupError as error:
    raise DataError(f"no encoding {encoding!r}: utf-8, latin-1, ...") from error


def _lines_of_json(path: Path) -> Iterator[Record]:
  offset = 0
  for number, line in enumerate(content(path).splitlines(keepends=True), start=1):
    where = f"{path} line {number}"
    if line.strip():
      try:
        value = jsonl.parse(line, offset)
      except DataError as error:
        raise DataError(f"{where} is bad: {error}") from error
      if not isinstance(value, dict):
        raise DataError(f"{where} is bad: it is no object")
      yield Record(where, value)
    offset += len(line)


def _table(path: Path, encoding: str, delimiter: str) -> Iterator[Record]:
  text = decoded(content(path), str(path), encoding).removeprefix("\ufeff")
  reader = csv.DictReader(
    io.StringIO(text, newline=""), delimiter=delimiter, strict=True
  )
  try:
    for row in reader:
      where = f"{path} line {reader.line_num}"
      if None in row or None in row.values():
        raise DataError(
          f"{where} has not the {len(reader.fieldnames)} cells of the head"
        )
      yield Record(where, row)
  except csv.Error as error:
    raise DataError(f"{path} line {reader.line_num} is no row: {error}") from error


def _labelled_lines(path: Path, encoding: str) -> Iterator[Record]:
  for number, line in enumerate(content(path).splitlines(), start=1):
    where = f"{path} line {number}"
    label, _, text = decoded(line, where, encoding).strip().partition(" ")
    if label and not text.strip():
      raise DataError(f"{where} is {label!r}: a label, a space and a text expected")
    if label:
      yield Record(where, {"label": label, "text": text})


def _folders(path: Path, encoding: str) -> Iterator[Record]:
  """Every text in a folder; the folder that it lies in is its label."""
  found = 0
  for name, data in _files(path):
    if data.strip():
      found += 1
      fields = {"label": Path(name).parent.name, "text": decoded(data, name, encoding)}
      yield Record(f"{path}: {name}", fields)
  if not found:
    raise DataError(
      f"{path} has no folder with .txt files: one for each label expected"
    )


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
  try:
    if path.is_dir():
      for file in sorted(path.glob("**/*.txt")):
        yield str(file.relative_to(path)), file.read_bytes()
      return
    with zipfile.ZipFile(path) as archive:
      for name in sorted(n for n in archive.namelist() if n.endswith(".txt")):
        if Path(name).parent.name:
          yield name, archive.read(name)
  except (OSError, zipfile.BadZipFile) as error:
    raise DataError(f"cannot read {path}: {error}; mend the file") from error


def _dataset(source: str) -> Iterator[Record]:
  from jaxmem.data import datasets

  yield from (Record(f"{source} {i}", one) for i, one in datasets.records(source))
