"""From a source to documents, and the side of the split that each stands on.

A source is "stdlib" (the Python standard library, the corpus that every machine has), a
file, a directory, or a glob pattern; a file or directory that is really called stdlib
is reached as ./stdlib. Every file that is not empty is a document, named by its path
below the root and sorted by name.

About a tenth of the bytes is held out, by *group*: the first component of the name, a
package or a directory. Near-copies such as encodings/cp1250.py and encodings/cp1251.py
share a group and so never stand on both sides.
"""

import dataclasses
import glob
import hashlib
import os
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jaxmem.data.errors import DataError

STDLIB = "stdlib"
_STDLIB_SKIPS = {
  "test",
  "tests",
  "idle_test",
  "site-packages",
  "dist-packages",
  "__pycache__",
}


@dataclasses.dataclass(frozen=True)
class Piece:
  """One document: the bytes `start` to `stop` of a file."""

  name: str
  path: Path
  start: int
  stop: int

  @property
  def size(self) -> int:
    return self.stop - self.start

  @property
  def group(self) -> str:
    return self.name.split("/")[0]

  def read(self) -> bytes:
    try:
      with open(self.path, "rb") as file:
        file.seek(self.start)
        return file.read(self.size)
    except OSError as error:
      raise DataError(
        f"cannot read {self.path}: {error.strerror}; mend the file or leave it out of "
        "the source"
      ) from error


def split(source: str, heldout: str = "") -> dict[str, list[Piece]]:
  """The documents of a source, parted into training and held-out.

  Groups are walked in the order of the SHA-256 of their names, and each that keeps the
  held-out bytes at or below a tenth of all is held out. Where no group is that small (a
  single book, three equal files) the last tenth of the bytes is held out, in the order
  of the names: the one document that the cut goes through stands on both sides, its
  beginning in training and its end in held-out.

  Args:
    source: "stdlib", a file, a directory or a glob pattern.
    heldout: a source whose documents are the held-out ones, all of `source` then being
      training; "" applies the rule above.

  Returns:
    {"train": pieces, "heldout": pieces}, neither empty, each sorted by name.

  Raises:
    DataError: if a source does not exist, matches no file or only empty ones, if it is
      too small to part, or if a file stands in both sources.
  """
  pieces = find(source)
  if heldout:
    held = find(heldout)
    _refuse_overlap(pieces, held, source, heldout)
    return {"train": pieces, "heldout": held}

  total = sum(piece.size for piece in pieces)
  if total < 2:
    raise DataError(
      f"source {source!r} holds {total} byte, too little to hold a part out: give at "
      "least 2 bytes, or name another source as heldout"
    )
  groups = _heldout_groups(pieces)
  if not groups:
    return _cut(pieces, total - max(1, total // 10))
  return {
    "train": [piece for piece in pieces if piece.group not in groups],
    "heldout": [piece for piece in pieces if piece.group in groups],
  }


def find(source: str) -> list[Piece]:
  """The documents of one source, sorted by name; see the module for what counts.

  Args:
    source: "stdlib", a file, a directory or a glob pattern.

  Returns:
    One piece for every file that is not empty; at least one.

  Raises:
    DataError: if the source does not exist, matches no file, or only empty ones.
  """
  root, paths = _locate(source)
  files = [path for path in paths if path.is_file()]
  if not files:
    raise DataError(
      f"source {source!r} matches 0 files: check the path or the pattern "
      "(hidden files do not count)"
    )
  root = root or Path(os.path.commonpath([path.parent for path in files]))
  pieces = [
    Piece(path.relative_to(root).as_posix(), path, 0, path.stat().st_size)
    for path in files
  ]
  pieces = [piece for piece in pieces if piece.size]
  if not pieces:
    raise DataError(
      f"all {len(files)} files of source {source!r} are empty: give at least one with "
      "text"
    )
  return sorted(pieces, key=lambda piece: piece.name)


def _locate(source: str) -> tuple[Path | None, Iterable[Path]]:
  """The root that names are relative to (None: their common parent), and the files."""
  if source == STDLIB:
    root = Path(sysconfig.get_path("stdlib"))
    return root, _stdlib(root)
  path = Path(os.path.abspath(os.path.expanduser(source)))
  if source and path.is_file():
    return path.parent, [path]
  if source and path.is_dir():
    return path, _walk(path)
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


def _heldout_groups(pieces: Sequence[Piece]) -> set[str]:
  sizes: dict[str, int] = {}
  for piece in pieces:
    sizes[piece.group] = sizes.get(piece.group, 0) + piece.size
  room = sum(sizes.values()) // 10
  groups = set()
  for group in sorted(sizes, key=_hash):
    if sizes[group] <= room:
      room -= sizes[group]
      groups.add(group)
  return groups


def _hash(group: str) -> bytes:
  return hashlib.sha256(os.fsencode(group)).digest()


def _cut(pieces: Sequence[Piece], at: int) -> dict[str, list[Piece]]:
  """The first `at` bytes of all pieces, and the rest."""
  train, heldout, begin = [], [], 0
  for piece in pieces:
    here = min(max(piece.start, piece.start + at - begin), piece.stop)
    if here > piece.start:
      train.append(dataclasses.replace(piece, stop=here))
    if here < piece.stop:
      heldout.append(dataclasses.replace(piece, start=here))
    begin += piece.size
  return {"train": train, "heldout": heldout}


def _refuse_overlap(
  pieces: Sequence[Piece], held: Sequence[Piece], source: str, heldout: str
) -> None:
  real = {os.path.realpath(piece.path) for piece in pieces}
  both = [piece.name for piece in held if os.path.realpath(piece.path) in real]
  if both:
    raise DataError(
      f"{len(both)} files stand in both source {source!r} and heldout {heldout!r}, the "
      f"first is {both[0]}: keep them apart, or the held-out loss means nothing"
    )
