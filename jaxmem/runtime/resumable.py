"""Resumable work: what was done stays in a directory, and is not done again.

    names = "plan.json", "answers.jsonl"
    ledger = Ledger(directory, identity, key=("task", "index"), names=names)
    for task, index in samples:
      if (task, index) not in ledger.done:
        ledger.append([{"task": task, "index": index, "score": ...}])

The *identity* of a work is all that decides its results: options, data, weights. The
files of another identity are refused, with what differs. A `Ledger` has a line for
every finished item and is only ever appended to, so that a process may be killed at any
time: at worst the last line is torn, and is dropped. A `Snapshot` has the state of one
long item and is replaced as a whole.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxmem.core import files
from jaxmem.core.errors import RunError, UserError
from jaxmem.runtime import array_file

# The format of a snapshot; it grows when older code cannot read a new layout.
FORMAT = 1


class ResumeError(UserError):
  """Raised if saved work has another identity, is damaged, or cannot be used."""


def check_identity(
  path: str | Path, saved: Mapping[str, Any], identity: Mapping[str, Any], flag: str
) -> None:
  """Checks that saved work has the identity of this work.

  Args:
    path: where it was saved.
    saved: the identity that was saved.
    identity: the identity of now; it need not have all keys of the saved one.
    flag: the option that names the directory on the command line.

  Raises:
    ResumeError: names every value that differs.
  """
  changed = [
    f"{key} {saved.get(key)}, this command has {value}"
    for key, value in identity.items()
    if saved.get(key) != value
  ]
  if changed:
    raise ResumeError(
      f"{path} was begun with {'; '.join(changed)}: give the same again, or name "
      f"another {flag}"
    )


class Ledger:
  """Finished items of a work: a file with its identity, and JSON lines.

  Attributes:
    done: maps the values of an item's key to its line, the last one that it has.
  """

  def __init__(
    self,
    directory: str | Path,
    identity: Mapping[str, Any],
    *,
    key: Sequence[str],
    names: tuple[str, str],
    flag: str = "--out",
    defaults: Mapping[str, Any] | None = None,
  ):
    """Reads finished items; a last line that a kill has cut off is dropped.

    Args:
      directory: the directory, which is made if it does not exist.
      identity: that of the work, see `agree`.
      key: the fields that tell items apart.
      names: the names of the file of the identity, and of the file of the lines.
      flag: the option that names the directory on the command line.
      defaults: values of keys that an older identity may lack.

    Raises:
      ResumeError: if the directory has another work, is damaged, or is a file.
    """
    directory = Path(directory)
    self._directory, self._key, self._flag = directory, tuple(key), flag
    self._path, self._lines = (directory / name for name in names)
    self._defaults = dict(defaults or {})
    try:
      directory.mkdir(parents=True, exist_ok=True)
      self.agree(identity)
      lines = self._read()
    except OSError as error:
      raise ResumeError(
        f"cannot use {flag} {directory}: {error.strerror or error}; name another"
      ) from error
    self.done = {self._key_of(line): line for line in lines}

  def agree(self, identity: Mapping[str, Any]) -> None:
    """Saves a part of the identity, or compares it with the saved one.

    Raises:
      ResumeError: if they differ.
    """
    saved = {}
    if self._path.exists():
      try:
        saved = files.read_json(self._path)
        if not isinstance(saved, dict):
          raise ValueError("it is no object")
      except ValueError as error:
        raise self._damaged(self._path, error) from error
      saved = self._defaults | saved
    identity = json.loads(json.dumps(identity))
    shared = {key: value for key, value in identity.items() if key in saved}
    check_identity(self._directory, saved, shared, self._flag)
    if new := identity.keys() - saved.keys():
      added = {key: identity[key] for key in identity if key in new}
      files.write_json(self._path, saved | added)

  def append(self, lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Appends the lines of finished items to the file, and returns them.

    Raises:
      RunError: if the disk is full or the file cannot be written.
    """
    lines = [dict(line) for line in lines]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    try:
      with open(self._lines, "a", encoding="utf-8") as file:
        file.write(text)
    except OSError as error:
      raise RunError(
        f"cannot write to {self._lines}: {error.strerror}; free or mend it, and give "
        "the same command again"
      ) from error
    self.done |= {self._key_of(line): line for line in lines}
    return lines

  def _key_of(self, line: Mapping[str, Any]) -> tuple:
    return tuple(line[name] for name in self._key)

  def _read(self) -> list[dict[str, Any]]:
    if not self._lines.exists():
      return []
    content = self._lines.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    try:
      lines = [json.loads(line) for line in complete.splitlines()]
      for number, line in enumerate(lines, start=1):
        if not (isinstance(line, dict) and set(self._key) <= set(line)):
          raise ValueError(f"line {number} lacks {' or '.join(self._key)}")
    except (ValueError, RecursionError) as error:
      raise self._damaged(self._lines, error) from error
    if complete != content:
      os.truncate(self._lines, len(complete))
    return lines

  def _damaged(self, path: Path, error: Exception) -> ResumeError:
    return ResumeError(
      f"{path} is damaged ({error}): mend it, or give another {self._flag}"
    )


class Snapshot:
  """The state of one long item: numbers and arrays in a file that is replaced whole.

  Attributes:
    path: the file.
    numbers: the saved numbers; {} if there is no file.
  """

  def __init__(
    self,
    path: str | Path,
    identity: Mapping[str, Any],
    *,
    every: float,
    flag: str,
    migrate: Callable[[dict[str, Any]], dict[str, Any]] = dict,
  ):
    """Reads the file, if there is one.

    Args:
      path: the file, whose directory exists; one process uses it.
      identity: what is known of the identity before any work, JSON; see `agree`.
      every: seconds between saves.
      flag: the option that names the directory on the command line.
      migrate: converts an identity that an older version saved.

    Raises:
      ResumeError: if the file is damaged, or has another work.
    """
    self.path, self._flag, self._every = Path(path), flag, every
    self._saved, self._identity = time.monotonic(), {}
    header, self._data = self._read()
    self._kept = migrate(header.pop("belongs", {}))
    self._leaves = header.pop("leaves", [])
    self.numbers = header
    self.agree(identity)

  @property
  def begun(self) -> bool:
    """Whether there is something to continue from."""
    return bool(self._data)

  def agree(self, identity: Mapping[str, Any]) -> None:
    """Adds to the identity, and compares it with the saved one.

    Raises:
      ResumeError: if the file has another work.
    """
    self._identity |= identity
    if self.begun:
      check_identity(self.path, self._kept, identity, self._flag)

  def shapes(self) -> list[tuple[str, list[int]]]:
    """Returns dtype and shape of every saved array, in their order."""
    return [(dtype, shape) for dtype, shape in self._leaves]

  def arrays(self, like: Any) -> Any:
    """Returns the saved arrays, read-only.

    Args:
      like: a tree of arrays or of their shapes, as it was saved.

    Raises:
      ResumeError: if other arrays were saved.
    """
    try:
      if self._leaves != array_file.kinds(like):
        raise ValueError("it holds other arrays")
      return array_file.build(like, self._data)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
      raise self.damaged(error) from error

  @property
  def wait(self) -> float:
    """The seconds until the next save."""
    return max(self._saved + self._every - time.monotonic(), 0.0)

  def due(self) -> bool:
    """Returns whether the next save is due."""
    return not self.wait

  def save(self, numbers: Mapping[str, Any], arrays: Any) -> None:
    """Replaces the saved numbers and arrays.

    Args:
      numbers: JSON without the keys "format", "belongs" and "leaves".
      arrays: a tree of arrays.

    Raises:
      ResumeError: if it cannot be written.
    """
    header = {"format": FORMAT, "belongs": self._identity} | dict(numbers)
    try:
      array_file.write(self.path, header, arrays)
    except OSError as error:
      raise ResumeError(
        f"cannot write to {self.path}: {error.strerror}; what was there is intact: "
        f"free the disk, or name another {self._flag}"
      ) from error
    self._saved = time.monotonic()

  def damaged(self, error: Exception) -> ResumeError:
    """Returns the error to raise if the work cannot continue from the numbers."""
    return ResumeError(
      f"{self.path} is no work that was stopped, or damaged ({error}): name another "
      f"{self._flag}, or delete it and begin again"
    )

  def _read(self) -> tuple[dict[str, Any], list[bytes]]:
    try:
      header, data = array_file.read(self.path)
    except FileNotFoundError:
      return {}, []
    except array_file.Unreadable as error:
      raise self.damaged(error) from error
    if not isinstance(header, dict) or header.pop("format", None) != FORMAT:
      raise ResumeError(
        f"{self.path} has another format than {FORMAT}, which this jaxmem reads: name "
        f"another {self._flag}"
      )
    return header, data
