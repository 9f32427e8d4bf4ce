"""Documents on disk as ArrayRecord, a file for each split, readable at any index.

This is the only file that imports the package array_record; the calls that need it
import this file. A record is the length of the name as four bytes, little-endian, the
name, and the text.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from array_record.python import array_record_module

# Every record is a group of its own, so that it can be read without its neighbours.
_OPTIONS = "group_size:1"


class Records(Sequence):
  """The records of a file, {"name": bytes, "text": bytes}."""

  def __init__(self, path: str | Path):
    self._path = path
    self._reader = array_record_module.ArrayRecordReader(os.fspath(path))
    if not self._reader.ok():
      raise OSError(f"{path} is damaged, or no ArrayRecord file")
    self._count = self._reader.num_records()

  def __len__(self) -> int:
    return self._count

  def __getitem__(self, index: int) -> dict[str, bytes]:
    record = self._reader.read([index])[0]
    begin = 4 + int.from_bytes(record[:4], "little")
    return {"name": record[4:begin], "text": record[begin:]}


def write(directory: str | Path, splits: Mapping[str, Callable[[], Iterable]]) -> None:
  """Writes every split.

  Args:
    directory: where the files are written; it must exist.
    splits: for each split a function that yields (name, text) pairs, text in bytes.

  Raises:
    OSError: if a file cannot be written.
  """
  for split, documents in splits.items():
    path = os.fspath(_file(directory, split))
    try:
      writer = array_record_module.ArrayRecordWriter(path, _OPTIONS)
      for name, text in documents():
        encoded = os.fsencode(name)
        writer.write(len(encoded).to_bytes(4, "little") + encoded + text)
      writer.close()
    except RuntimeError as error:  # the package raises no narrower error
      raise OSError(str(error)) from error


def is_there(directory: str | Path, splits: Iterable[str]) -> bool:
  """Returns whether all splits were written to a directory."""
  return all(_file(directory, split).is_file() for split in splits)


def read(directory: str | Path, split: str) -> Records:
  """Returns the documents of a split that `write` wrote.

  Args:
    directory: that of `write`, perhaps renamed since.
    split: a key of its `splits`.

  Returns:
    A sequence of {"name": bytes, "text": bytes}.

  Raises:
    OSError: if the file is damaged.
  """
  return Records(_file(directory, split))


def _file(directory: str | Path, split: str) -> Path:
  return Path(directory) / f"{split}.array_record"
