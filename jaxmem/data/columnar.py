"""Parquet and Arrow files as records, a batch of rows in memory at a time.

This is the only file that imports pyarrow; the calls that need it import it. A Parquet
file is read by row groups and a piece of a group at a time; an Arrow file or stream is
mapped into memory, and a batch of it is looked at. Class labels of Hugging Face's
`datasets` are read as their names.
"""

import dataclasses
import functools
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.data import archives, formats, record_texts, template
from jaxmem.data.file_slice import FileSlice
from jaxmem.data.record_texts import Field, Row
from jaxmem.data.unreadable import DAMAGE

FORMATS = (formats.PARQUET, formats.ARROW, formats.ARROW_STREAM)
# Rows of a Parquet file that are decoded at once.
_ROWS = 1024


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowSlice(FileSlice):
  """The text of one row: its bytes `start` to `stop`.

  Attributes:
    field: the column with the text, or a template of several.
    number: the row's number in the file, from 1.
    unit: the row group (Parquet) or the batch (Arrow) that holds it.
    row: the row's number in that, from 0.
  """

  field: str
  number: int
  unit: int
  row: int

  def part(self, begin: int, size: int) -> bytes:
    columns = tuple(_columns(self.field))
    with _LOCK:
      reader = _cached(self.path, columns, *archives.stamp(self.path))
      fields = reader.fields(self.unit, self.row)
    where = f"{self.path} row {self.number}"
    text = record_texts.encoded(fields, self.field, where)
    at = self.start + begin
    return text[at : min(at + size, self.stop)]


def find(path: str | Path, name: str, field: Field) -> Iterator[FileSlice]:
  """Yields the documents of a file; empty texts are no documents.

  Args:
    path: the file.
    name: the beginning of the documents' names, before the number of their row.
    field: the column with the text, and perhaps one to group rows by.

  Raises:
    DataError: if pyarrow or a column is missing, the file is damaged, or a row has no
      text; names file, row and reason.
  """
  yield from record_texts.documents(_rows(Path(path), name, field), field, str(path))


def values(path: str | Path) -> Iterator[tuple[str, dict[str, Any], str]]:
  """Yields where each row stands, its values by column, and what is wrong with it."""
  table = _Table(Path(path))
  for number, (_, _, fields, fault) in enumerate(table.rows(None), start=1):
    where = f"{path} row {number}"
    yield where, fields, fault and f"{where} is bad: {fault}"


def _rows(path: Path, name: str, field: Field) -> Iterator[Row]:
  table = _Table(path)
  columns = [*_columns(field.name), *[field.group] * bool(field.group)]
  if missing := [column for column in columns if column not in table.names]:
    raise DataError(
      f"{path} has no column {missing[0]!r}, only {', '.join(table.names)}: name one "
      "as SOURCE#COLUMN"
    )
  rows = table.rows(tuple(dict.fromkeys(columns)))
  for number, (unit, row, fields, fault) in enumerate(rows, start=1):
    where = f"{path} row {number}"
    document = RowSlice(
      f"{name}:{number:08}",
      path,
      0,
      0,
      field=field.name,
      number=number,
      unit=unit,
      row=row,
    )
    yield Row(document, where, fields, fault and f"{where} is bad: {fault}")


def _columns(field: str) -> list[str]:
  """Returns the columns that a field, or a template of several, is made of."""
  if template.is_template(field):
    return [name for _, name in template.parse(field) if name]
  return [field]


class _Table:
  """An open file of rows.

  Attributes:
    names: of the columns.
  """

  def __init__(self, path: Path):
    """Raises DataError if pyarrow is missing or the file cannot be opened."""
    require("pyarrow", "pyarrow.parquet", extra="data")
    import pyarrow

    self._path, self._kind = path, archives.kind(path)
    self._errors = (OSError, pyarrow.ArrowException, *DAMAGE)
    try:
      self._open()
    except self._errors as error:
      raise self._damaged(error) from error
    self.names: Sequence[str] = self._schema.names
    self._labels = _labels(self._schema.metadata or {})

  def rows(
    self, columns: tuple[str, ...] | None
  ) -> Iterator[tuple[int, int, dict[str, Any], str]]:
    """Yields unit, row, values and fault of every row; None is all columns."""
    for unit in range(self._units):
      row = 0
      for batch in self.batches(unit, columns):
        for i in range(batch.num_rows):
          fields, fault = self.fields(batch, i)
          yield unit, row, fields, fault
          row += 1

  def batches(self, unit: int, columns: tuple[str, ...] | None) -> Iterator[Any]:
    """Yields the batches of a unit, one of which is in memory at a time."""
    try:
      for batch in self._batches(unit, columns):
        yield batch.select(columns) if columns else batch
    except self._errors as error:
      raise self._damaged(error) from error

  def fields(self, batch: Any, row: int) -> tuple[dict[str, Any], str]:
    """Returns the values of a row by column, and what is wrong with it."""
    try:
      found = {
        name: batch.column(i)[row].as_py() for i, name in enumerate(batch.schema.names)
      }
    except UnicodeDecodeError as error:
      return {}, f"it is not UTF-8 at byte {error.start} of a text"
    except (ValueError, OverflowError) as error:  # such as a date that Python lacks
      return {}, " ".join(str(error).split())
    for name, labels in self._labels.items():
      value = found.get(name)
      if isinstance(value, int) and value < len(labels):
        found[name] = labels[value] if value >= 0 else ""  # -1 is no label
    return found, ""

  def _open(self) -> None:
    import pyarrow
    from pyarrow import ipc, parquet

    if self._kind == formats.PARQUET:
      self._file = parquet.ParquetFile(self._path, memory_map=True, pre_buffer=False)
      self._schema, self._units = self._file.schema_arrow, self._file.num_row_groups
    elif self._kind == formats.ARROW:
      self._file = ipc.open_file(pyarrow.memory_map(os.fspath(self._path)))
      self._schema, self._units = self._file.schema, self._file.num_record_batches
    else:
      self._schema, self._units = self._stream().schema, 1

  def _stream(self) -> Any:
    import pyarrow
    from pyarrow import ipc

    return ipc.open_stream(pyarrow.memory_map(os.fspath(self._path)))

  def _batches(self, unit: int, columns: tuple[str, ...] | None) -> Iterator[Any]:
    if self._kind == formats.PARQUET:
      names = list(columns) if columns else None
      yield from self._file.iter_batches(_ROWS, row_groups=[unit], columns=names)
    elif self._kind == formats.ARROW:
      yield self._file.get_batch(unit)
    else:
      yield from self._stream()

  def _damaged(self, error: Exception) -> DataError:
    if isinstance(error, DataError):
      return error
    why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return DataError(
      f"{self._path} is {self._kind} and cannot be read: {why}; fetch or write it again"
    )


class _Reader:
  """Some columns of a file, at random access that is cheap where it goes forwards."""

  def __init__(self, path: Path, columns: tuple[str, ...]):
    self._table, self._columns = _Table(path), columns
    self._unit = -1

  def fields(self, unit: int, row: int) -> dict[str, Any]:
    """Returns the values of a row of a unit."""
    if unit != self._unit or row < self._begin:
      self._batches, self._unit = self._table.batches(unit, self._columns), unit
      self._batch, self._begin = next(self._batches), 0
    while row >= self._begin + self._batch.num_rows:
      self._begin += self._batch.num_rows
      self._batch = next(self._batches)
    fields, fault = self._table.fields(self._batch, row - self._begin)
    if fault:
      raise DataError(f"a row of {self._unit} is bad: {fault}")
    return fields


_LOCK = threading.Lock()


@functools.lru_cache(maxsize=4)
def _cached(path: Path, columns: tuple[str, ...], *stamp: int) -> _Reader:
  """Opens a file once, and again if its time or size has changed."""
  return _Reader(path, columns)


def _labels(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
  """Returns the names of classes by column, as Hugging Face's `datasets` keeps them."""
  try:
    features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    return {
      name: feature["names"]
      for name, feature in features.items()
      if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
  except (ValueError, KeyError, TypeError, AttributeError):
    return {}
