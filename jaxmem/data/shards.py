"""Tar archives of WebDataset: the files of one key are a record.

The key of `a/0001.en.txt` is `a/0001`, all up to the first dot of the file's name, and
what follows is the field, `en.txt`. A file of text is a field with that text; the
fields of an object in a `.json` file stand beside these, and the field `__key__` is the
key. Files that are no text, such as pictures, are left out by their first bytes.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.data import archives, formats, opened, record_texts
from jaxmem.data.file_slice import FileSlice
from jaxmem.data.record_texts import Field, Row
from jaxmem.data.strict_json import parse
from jaxmem.data.unreadable import DAMAGE, damaged

_JSON = "json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeySlice(FileSlice):
  """The text of the record of one key: its bytes `start` to `stop`.

  Attributes:
    field: the field with the text, or a template of several.
    names: the names in the archive of the key's files of text.
  """

  field: str
  names: tuple[str, ...]

  def part(self, begin: int, size: int) -> bytes:
    fields, _ = _read(self.path, self.names)
    where = f"{self.path}: {fields['__key__']}"
    text = record_texts.encoded(fields, self.field, where)
    at = self.start + begin
    return text[at : min(at + size, self.stop)]


def is_shard(path: str | Path) -> bool:
  """Returns whether records are read from a tar archive by key.

  They are if a key has several files, a file is JSON, or no file lies in a folder; else
  it is an archive of labelled folders.
  """
  if not archives.is_tar(path):
    return False
  names = [*archives.places(path)]
  if len(names) == 1:
    return False
  keys = {_key(name)[0] for name in names}
  has_json = any(_key(name)[1] == _JSON for name in names)
  return len(keys) < len(names) or has_json or not any("/" in name for name in names)


def find(path: str | Path, name: str, field: Field) -> Iterator[FileSlice]:
  """Yields the documents of an archive; empty texts are no documents.

  Args:
    path: the archive.
    name: the beginning of the documents' names, before their key; may be empty.
    field: the field with the text, and perhaps one to group records by.

  Raises:
    DataError: if the archive is damaged or a record is bad; names archive and key.
  """
  yield from record_texts.documents(_rows(Path(path), name, field), field, str(path))


def values(path: str | Path) -> Iterator[tuple[str, dict[str, Any], str]]:
  """Yields where each record stands, its fields, and what is wrong with it."""
  for row in _rows(Path(path), "", Field()):
    yield row.where, row.fields, row.fault


def _rows(path: Path, name: str, field: Field) -> Iterator[Row]:
  keys: dict[str, list[str]] = {}
  for file in archives.places(path):
    keys.setdefault(_key(file)[0], []).append(file)
  for key, files in keys.items():
    where, fault = f"{path}: {key}", ""
    try:
      fields, names = _read(path, tuple(files))
    except DataError as error:
      fields, names, fault = {}, (), str(error)
    full_name = f"{name}/{key}" if name else key
    document = KeySlice(full_name, path, 0, 0, field=field.name, names=names)
    yield Row(document, where, fields, fault)


def _key(name: str) -> tuple[str, str]:
  """Returns the key of a file of an archive, and its field."""
  folder, slash, file = name.rpartition("/")
  stem, _, field = file.partition(".")
  return folder + slash + stem, field


def _is_text(path: Path, name: str) -> bool:
  """Returns whether a file begins as text does."""
  try:
    beginning = archives.head(archives.TarFile(opened.Member(path, name)))
  except (OSError, *DAMAGE) as error:
    raise damaged(path, error) from error
  if formats.recognise(beginning):
    return False
  return b"\0" not in beginning or bool(formats.mark(beginning)[1])


def _read(path: Path, names: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
  """Returns the record of a key, and which of its files are text."""
  fields: dict[str, Any] = {"__key__": _key(names[0])[0]}
  texts = []
  for name in names:
    if not _is_text(path, name):
      continue
    texts.append(name)
    file = opened.Member(path, name)
    text, field = opened.text(file), _key(name)[1]
    if field == _JSON:
      more = _object(text, file)  # a file counts before a field of that name
      fields |= {name: value for name, value in more.items() if name not in fields}
    else:
      fields[field] = text
  return fields, tuple(texts or names[:1])


def _object(text: str, file: opened.Member) -> dict[str, Any]:
  """Returns the object of a JSON file."""
  try:
    value = parse(text.encode())
  except DataError as error:
    raise DataError(f"{file} is bad: {error}") from error
  if not isinstance(value, dict):
    raise DataError(f"{file} is bad: it is no object")
  return value
