"""Where commands write: never over what they read, and found out before the work.

The rule is one for all commands. A file that a flag names is replaced as a whole,
whoever made it, unless it is an input of the command under any name (a link, another
spelling) or a file that a run is restored from. A directory that a flag names may be
new, empty, or an earlier output of the same command.
"""

import contextlib
import fnmatch
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxmem.core import files, paths
from jaxmem.core.errors import UserError, shown

# What a run is restored from: files of a work directory, and folders of it.
_RUN_FILES = (
  "config.json", "labels.json", "series.json", "tokenizer.json", "tokenizer.model",
  "metrics.jsonl", "ledger.jsonl", "lock.json",
)  # fmt: skip
_RUN_FOLDERS = ("checkpoints", "best")
# What a run writes besides.
_REPORTS = ("report.*", "sample.txt", "*.png", "latents.*")


def refuse_overwrite(
  out: str | Path, inputs: Mapping[str, str | Path], flag: str = "--out"
) -> None:
  """Checks the file that a command is to write, before anything is opened or computed.

  Args:
    out: the file; "-" is standard output.
    inputs: flag -> what the command reads: a file, a directory, a source, or "-" for
      standard input; a value of "" is none. The value of "--workdir" is a run's.
    flag: that names the output.

  Raises:
    UserError: if the output is an input, a directory, or in a directory that is not
      there.
  """
  mark = _mark(out, sys.stdout)
  for name, value in inputs.items():
    if not str(value):
      continue
    if name == "--workdir":  # a new file in a checkpoint's folder spoils it too
      same = str(out) != "-" and _restored_from(Path(value), Path(out))
    else:
      same = mark is not None and mark in _marks(value)
    if same:
      raise UserError(f"{flag} {out} would overwrite {name} {value}: name another file")
  if str(out) != "-":
    _refuse_unwritable(Path(out), flag)


def refuse_overwrite_in(
  directory: str | Path,
  names: Iterable[str],
  inputs: Mapping[str, str | Path],
  flag: str = "--out",
) -> None:
  """Checks the files that a command is to write into a directory.

  Args:
    directory: that need not be there.
    names: of the files, as patterns such as "*.png".
    inputs: see `refuse_overwrite`.
    flag: that names the directory.

  Raises:
    UserError: if one of the files is an input, or the directory is a file.
  """
  directory = Path(directory)
  if directory.exists() and not directory.is_dir():
    raise UserError(f"{flag} {directory} is a file: name a directory")
  if not directory.is_dir():
    return
  patterns = list(names)  # read once for every file
  for file in sorted(directory.iterdir()):
    if file.is_file() and any(fnmatch.fnmatch(file.name, p) for p in patterns):
      refuse_overwrite(file, inputs, flag)


def refuse_other_content(directory: str | Path, ours: str, flag: str = "--out") -> None:
  """Checks that a directory is new, empty, or an earlier output of the same command.

  Args:
    directory: the output.
    ours: the file by which an earlier output is known.
    flag: that names it.

  Raises:
    UserError: if it holds something else, or is a file.
  """
  directory = Path(directory)
  if directory.exists() and not directory.is_dir():
    raise UserError(f"{flag} {directory} is a file: name a directory")
  try:
    content = sorted(os.listdir(directory)) if directory.is_dir() else []
  except OSError as error:
    raise UserError(f"{flag} {directory} cannot be read: {error.strerror}") from error
  if content and ours not in content:
    raise UserError(
      f"{flag} {directory} holds {content[0]!r} and no {ours}: name a new directory, "
      "an empty one, or one that this command wrote"
    )


def make_directory(directory: str | Path, flag: str = "--out") -> Path:
  """Makes the directory that a command writes into, if it is not there.

  Raises:
    UserError: if it cannot be made, or is a file.
  """
  directory = Path(directory)
  try:
    directory.mkdir(parents=True, exist_ok=True)
  except (OSError, ValueError) as error:  # ValueError: a NUL in the name
    why = getattr(error, "strerror", None) or error
    raise UserError(f"cannot make {flag} {directory}: {why}; name another") from error
  return directory


def refuse_workdir(workdir: str | Path, sources: Mapping[str, str]) -> None:
  """Checks that a run does not write into what it reads.

  Args:
    workdir: of the run.
    sources: flag -> source of data.

  Raises:
    UserError: if the work directory lies in a directory that is read, or holds a file
      that is read under a name that the run writes to.
  """
  workdir = Path(workdir)
  place = Path(os.path.realpath(workdir))
  try:
    str(place).encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"--workdir {place} is not UTF-8, as checkpoints need it: choose another name"
    ) from error
  for flag, source in sources.items():
    for path in paths.existing(source):
      real = Path(os.path.realpath(path))
      if real.is_dir() and real in (place, *place.parents):
        raise UserError(
          f"--workdir {workdir} lies in {flag} {source}: what the run writes would be "
          "read as data; choose a --workdir elsewhere"
        )
  flags = dict(sources)
  refuse_overwrite_in(workdir, (*_RUN_FILES, *_REPORTS), flags, "--workdir")


@contextlib.contextmanager
def writing(out: str | Path, flag: str = "--out") -> Iterator[Any]:
  """A binary file for what a command writes: whole at the end, or not there at all.

  Standard output and what is no plain file, such as a pipe, are written as it comes.

  Args:
    out: a path, or "-".
    flag: that names it.

  Raises:
    UserError: if it cannot be written.
  """
  if str(out) == "-":
    yield sys.stdout.buffer
    return
  try:
    with files.replacing(out) as path, open(path, "wb") as file:
      yield file
  except OSError as error:
    if isinstance(error, BrokenPipeError):
      raise
    raise UserError(
      f"cannot write {flag} {out}: {error.strerror or error}; name another file"
    ) from error


def _refuse_unwritable(path: Path, flag: str) -> None:
  parent = path.absolute().parent
  try:
    is_directory = path.is_dir()
  except OSError as error:  # a name that is too long, say
    raise UserError(
      f"cannot write {flag} {shown(str(path))}: {error.strerror}; name another file"
    ) from error
  if is_directory:
    raise UserError(f"{flag} {path} is a directory: name a file")
  if not parent.is_dir():
    raise UserError(f"{flag} {path}: its directory does not exist")
  special = path.exists() and not path.is_file()  # it is written, and not replaced
  if not os.access(path if special else parent, os.W_OK):
    raise UserError(f"{flag} {path}: its directory cannot be written to")


def _mark(path: str | Path, stream: Any) -> tuple[int, int] | None:
  """Device and inode of a plain file, or of the one that a stream goes to.

  They tell a file whatever it is called: by a link, or in another spelling.
  """
  try:
    status = os.fstat(stream.fileno()) if str(path) == "-" else os.stat(path)
  except (OSError, ValueError, AttributeError):  # not there, or a stream of a test
    return None
  return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _marks(source: str | Path) -> set[tuple[int, int] | None]:
  """The marks of all files of an input."""
  if str(source) == "-":
    return {_mark("-", sys.stdin)} - {None}
  marks = set()
  for path in paths.existing(str(source)):
    if path.is_dir():  # every file below it may be read
      below = (os.path.join(at, n) for at, _, names in os.walk(path) for n in names)
      marks |= {_mark(file, None) for file in below}
    else:
      marks.add(_mark(path, None))
  return marks - {None}


def _restored_from(workdir: Path, out: Path) -> bool:
  """Whether a file is one that a run in `workdir` needs."""
  mark = _mark(out, None)
  if mark and mark in {_mark(workdir / name, None) for name in _RUN_FILES}:
    return True
  real = Path(os.path.realpath(out))
  folders = [Path(os.path.realpath(workdir / name)) for name in _RUN_FOLDERS]
  return any(folder in real.parents for folder in folders)
