"""The documents of one source, in files or in a dataset.

A source is

- "stdlib", the Python standard library, the corpus that every machine has (a file or
  directory that is really called so is reached as ./stdlib);
- a file, a directory, or a glob pattern: every file that is not empty is a document,
  named by its path below the root; but files of JSON Lines or JSON whose records have a
  text in "text" are read as below, and other files of JSON Lines, read whole, are named
  on standard error;
- `FILE.jsonl` or `FILE.jsonl#FIELD`, perhaps a pattern: every line is a document, the
  text of its field "text" or FIELD, which may be a template of several fields such as
  "{title}\\n{body}"; see `jaxmem.data.jsonl`. So is every record of a FILE.json that
  has the field "text", or any field that is named; any other FILE.json is a document;
- `tfds:NAME`: every record is a document; see `jaxmem.data.datasets`;
- `mix:WEIGHT*SOURCE,...`: several of these; see `jaxmem.data.mixture`.

Files may be packed (gzip, xz, bzip2), and every file in a zip archive is a document;
see `jaxmem.data.opened` for how they are told, and for what is refused.

Documents are sorted by name.
"""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxmem.core.errors import DataError
from jaxmem.data import datasets, jsonl, mixture, opened
from jaxmem.data.piece import Piece

STDLIB = "stdlib"
# FILE.jsonl#FIELD, the name in any capitals, perhaps packed.
_RECORDS = re.compile(
  r"(?s)((?i:.*\.(?:jsonl|ndjson|jsonlines|jl|json)(?:\.(?:gz|xz|bz2|zip))?))(?:#(.+))?"
)
_STDLIB_SKIPS = {
  "test",
  "tests",
  "idle_test",
  "site-packages",
  "dist-packages",
  "__pycache__",
}


def find(source: str) -> list[Piece]:
  """The documents of one source, sorted by name; see the module for what counts.

  Args:
    source: any but a mixture.

  Returns:
    One piece for every document that is not empty; at least one.

  Raises:
    DataError: if the source does not exist, matches no file, or only empty ones, or if
      it cannot be read.
  """
  if source.startswith(mixture.PREFIX):
    raise DataError(f"source {source!r} is a mixture: only task.source can be one")
  if source.startswith(datasets.PREFIX):
    found, pieces = "records", list(datasets.find(source))
  else:
    found, pieces = _in_files(source)
  pieces = [piece for piece in pieces if piece.size]
  if not pieces:
    raise DataError(
      f"all {found} of source {source!r} are empty: give at least one with text"
    )
  return sorted(pieces, key=lambda piece: piece.name)


def _in_files(source: str) -> tuple[str, list[Piece]]:
  """How many files there are, in words, and their documents."""
  records = _RECORDS.fullmatch(source)
  root, paths = _locate(records[1] if records else source)
  files = [path for path in paths if path.is_file()]
  if not files:
    raise DataError(
      f"source {source!r} matches 0 files: check the path or the pattern "
      "(hidden files do not count)"
    )
  root = root or Path(os.path.commonpath([path.parent for path in files]))
  pieces: list[Piece] = []
  unread: list[str] = []
  for path in (path for path in files if path.stat().st_size):
    name = path.relative_to(root).as_posix()
    for file in opened.members(path):
      own = f"{name}/{file.name}" if file.name else name
      if len(files) == 1 and file.name:
        own = file.name
      if _is_of_records(file, records):
        field = records[2] if records else None
        pieces += jsonl.find(path, own, field or "text", file.name)
      else:
        pieces += _document(file, own)
        if _suffix(file) in jsonl.SUFFIXES:
          unread.append(own)
  if unread:
    print(
      f"jaxmem: {len(unread):,} files of JSON Lines of {source!r} have no text in the "
      f"field 'text' and are read whole, JSON and all ({unread[0]}): name their field "
      "as DIRECTORY/*.jsonl#FIELD, or leave them out",
      file=sys.stderr,
      flush=True,
    )
  return f"{len(files)} files", pieces


def _is_of_records(file: opened.Member, named: re.Match | None) -> bool:
  """Whether each record of a file is a document.

  They are if the source names a field, or files of JSON Lines; otherwise, as in a
  directory, if the file is of JSON and its first record has a text.

  Args:
    file: of the source.
    named: the source, if it ends in a suffix of JSON, perhaps with a field.
  """
  if named and (named[2] or opened.suffix(file.path) != ".json"):
    return True
  is_json = _suffix(file) in (".json", *jsonl.SUFFIXES)
  return is_json and jsonl.holds(file, "text")


def _suffix(file: opened.Member) -> str:
  return opened.suffix(file.name or file.path)


def _document(file: opened.Member, name: str) -> Iterator[Piece]:
  """The whole text of a file."""
  begin = opened.is_plain(file)
  packed = begin is None
  stop = opened.size(file) if packed else file.path.stat().st_size
  yield Piece(name, file.path, begin or 0, stop, file.name, packed)


def _locate(source: str) -> tuple[Path | None, Iterable[Path]]:
  """The root that names are relative to (None: their common parent), and the files."""
  if source == STDLIB:
    root = Path(sysconfig.get_path("stdlib"))
    return root, _stdlib(root)
  path = Path(os.path.abspath(os.path.expanduser(source)))
  try:
    is_file, is_folder = path.is_file(), path.is_dir()
  except OSError as error:  # a name that is too long, say
    raise DataError(
      f"source {source[:60]!r} cannot be looked for: {error.strerror}"
    ) from error
  if source and is_file:
    return path.parent, [path]
  if source and is_folder:
    opened.check_folder(path)
    return path, _walk(path)
  file, mark, field = source.rpartition("#")
  if mark and Path(os.path.expanduser(file)).is_file():
    raise DataError(
      f"source {source!r} names the field {field!r} of {file}, which is read whole: "
      "give JSON Lines (FILE.jsonl#FIELD)"
    )
  if glob.has_magic(source):
    return None, [Path(match) for match in glob.glob(str(path), recursive=True)]
  raise DataError(
    f"source {source!r} does not exist: give a file, a directory, a glob pattern, or "
    f"{STDLIB!r} for the Python standard library"
  )


def _stdlib(root: Path) -> Iterator[Path]:
  for path in _walk(root):
    if path.suffix == ".py" and not _STDLIB_SKIPS & set(path.relative_to(root).parts):
      yield path


def _walk(root: Path) -> Iterator[Path]:
  # Links to directories are not followed: they may lead back up.
  for directory, below, files in os.walk(root):
    below[:] = [name for name in below if not name.startswith(".")]
    yield from (Path(directory, name) for name in files if not name.startswith("."))
