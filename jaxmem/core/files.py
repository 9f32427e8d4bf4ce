"""Text files in UTF-8 under any locale, and writes that are whole or not at all."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
  """A temporary path that takes the place of `path` when the block ends well.

  A reader of `path` sees the old file or the new one, never a part: the bytes are on
  disk before the name changes. A link is followed, so that its target is replaced. What
  is not a regular file, such as /dev/stdout or a pipe, is written directly.

  Args:
    path: of the file to write.

  Yields:
    Where to write; in the same directory, with the same suffix.

  Raises:
    OSError: if the directory cannot be written to. The old file is then intact.
  """
  path = Path(os.path.realpath(path))
  if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
    yield path
    return
  # in the same directory: a rename is atomic within a file system only
  temporary = path.with_name(f".{path.stem[:64]}.{uuid.uuid4().hex}{path.suffix}")
  try:
    yield temporary
    with open(temporary, "rb+") as file:
      os.fsync(file.fileno())  # else a crash may leave the new name on an empty file
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
  """Writes a file whole or not at all; see `replacing`.

  Args:
    path: of the file.
    content: its bytes.
  """
  with replacing(path) as temporary:
    temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
  """Writes UTF-8 with the line ends of `text`, whole or not at all.

  What has no UTF-8, such as a file's name that is no text, is escaped as JSON does.

  Args:
    path: of the file.
    text: its content.
  """
  write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: Any, **options: Any) -> None:
  """Writes `to_metric` as indented JSON with a last line end, whole or not at all.

  Args:
    path: of the file.
    value: what `json.dumps` can write.
    options: of `json.dumps`; `indent` is 2 unless given.
  """
  write_text(path, json.dumps(value, **({"indent": 2} | options)) + "\n")


def read_text(path: str | Path) -> str:
  """Reads the text of a UTF-8 file, whatever the locale.

  Args:
    path: of the file.

  Raises:
    OSError: if it cannot be read.
    UnicodeDecodeError: if it is not UTF-8; a ValueError.
  """
  return Path(path).read_text(encoding="utf-8")


def read_json(path: str | Path) -> Any:
  """Reads a UTF-8 file of JSON.

  Args:
    path: of the file.

  Raises:
    OSError: if it cannot be read.
    ValueError: if it is not UTF-8, not JSON, or nested too deeply.
  """
  try:
    return json.loads(read_text(path))
  except RecursionError as error:  # of Python's parser, and no OSError or ValueError
    raise ValueError("it is nested too deeply") from error
