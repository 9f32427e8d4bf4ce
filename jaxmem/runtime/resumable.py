"""Resumable work: what was done stays in a directory, and is not done again.

    names = "plan.json", "answers.jsonl"
    ledger = Ledger(directory, identity, key=("task", "index"), names=names)
    for task, index in samples:
      if (task, index) not in ledger.done:
        ledger.append([{"task": task, "index": index, "score": ...}])

The *identity* of a work is all that decides what it finds: options, data, weights. What
was kept of another identity is refused, with what differs. A `Ledger` has a line for
every finished item and is only ever appended to, so that a process may be killed at any
time; a `Snapshot` has the state of one long item and is replaced as a whole.
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

# Of a snapshot; raised when its layout changes in a way that older code cannot read.
FORMAT = 1


class ResumeError(UserError):
  """What was kept is of another work, damaged, or cannot be used; names which."""


def check_identity(
  path: str | Path, kept: Mapping[str, Any], identity: Mapping[str, Any], flag: str
) -> None:
  """Checks that what was kept is of this work.

  Args:
    path: where it was kept.
    kept: the identity of then.
    identity: the identity of now; it need not name all that was kept.
    flag: that names the place on the command line.

  Raises:
    ResumeError: names every value that differs.
  """
  changed = [
    f"{key} {kept.get(key)}, this command has {value}"
    for key, value in identity.items()
    if kept.get(key) != value
  ]
  if changed:
    raise ResumeError(
      f"{path} was begun with {'; '.join(changed)}: give the same again, or name "
      f"another {flag}"
    )


class Ledger:
  """Finished items of a work: a file with its identity, and JSON lines.

  Attributes:
    done: the values of the key -> the line of the item, the last one that it has.
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
    """Reads what is there; a last line that was cut off by a kill is dropped.

    Args:
      directory: is made if it is not there.
      identity: of the work, see `agree`.
      key: the fields that tell items apart.
      names: of the file of the identity, and of that of the lines.
      flag: that names the directory on the command line.
      defaults: what an identity that lacks a key was kept with.

    Raises:
      ResumeError: if the directory is of another work, damaged, or none.
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
    """Keeps a part of the identity, or compares it with what was kept before.

    Raises:
      ResumeError: if something else was kept.
    """
    kept = {}
    if self._path.exists():
      try:
        kept = files.read_json(self._path)
        if not isinstance(kept, dict):
          raise ValueError("it is no object")
      except ValueError as error:
        raise self._damaged(self._path, error) from error
      kept = self._defaults | kept
    identity = json.loads(json.dumps(identity))
    both = {key: value for key, value in identity.items() if key in kept}
    check_identity(self._directory, kept, both, self._flag)
    if new := identity.keys() - kept.keys():
      added = {key: identity[key] for key in identity if key in new}
      files.write_json(self._path, kept | added)

  def append(self, lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Writes the lines of finished items behind the others, and returns them.

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
    whole = content[: content.rfind(b"\n") + 1]
    try:
      lines = [json.loads(line) for line in whole.splitlines()]
      for number, line in enumerate(lines, start=1):
        if not (isinstance(line, dict) and set(self._key) <= set(line)):
          raise ValueError(f"line {number} lacks {' or '.join(self._key)}")
    except (ValueError, RecursionError) as error:
      raise self._damaged(self._lines, error) from error
    if whole != content:
      os.truncate(self._lines, len(whole))
    return lines

  def _damaged(self, path: Path, error: Exception) -> ResumeError:
    return ResumeError(
      f"{path} is damaged ({error}): mend it, or give another {self._flag}"
    )


class Snapshot:
  """The state of one long item: numbers and arrays in a file that is replaced whole.

  Attributes:
    path: of the file.
    numbers: those that were kept; {} if there is no file.
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
    """Looks at what is there, which costs nothing.

    Args:
      path: of the file, whose directory exists; one process has it.
      identity: what is known of it before any work, JSON; see `agree`.
      every: seconds between saves.
      flag: that names the directory on the command line.
      migrate: an identity as an older version kept it -> as it is now.

    Raises:
      ResumeError: if the file is damaged, or of another work.
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
    """Adds to the identity, and compares that with what was kept.

    Raises:
      ResumeError: if the file is of another work.
    """
    self._identity |= identity
    if self.begun:
      check_identity(self.path, self._kept, identity, self._flag)

  def shapes(self) -> list[tuple[str, list[int]]]:
    """Returns dtype and shape of every array that was kept, in their order."""
    return [(dtype, shape) for dtype, shape in self._leaves]

  def arrays(self, like: Any) -> Any:
    """Returns the arrays that were kept, read-only.

    Args:
      like: the tree, of arrays or their shapes.

    Raises:
      ResumeError: if they are others.
    """
    try:
      if self._leaves != array_file.kinds(like):
        raise ValueError("it holds other arrays")
      return array_file.build(like, self._data)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
      raise self.damaged(error) from error

  def due(self) -> bool:
    """Whether the next save is due."""
    return time.monotonic() - self._saved >= self._every

  def save(self, numbers: Mapping[str, Any], arrays: Any) -> None:
    """Replaces what was kept.

    Args:
      numbers: JSON, without the keys "format", "belongs" and "leaves".
      arrays: a tree.

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
    """Returns what to raise if the numbers cannot be continued from."""
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
