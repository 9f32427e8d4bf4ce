"""From a source to documents, and the side of the split that each stands on.

A source is

- "stdlib", the Python standard library, the corpus that every machine has (a file or
  directory that is really called so is reached as ./stdlib);
- a file, a directory, or a glob pattern: every file that is not empty is a document,
  named by its path below the root;
- `FILE.jsonl` or `FILE.jsonl#FIELD`, perhaps a pattern: every line is a document, the
  text of its field "text" or FIELD, which may be a template of several fields such as
  "{title}\\n{body}"; see `jaxmem.data.jsonl`. So is every record of a FILE.json that
  has the field; any other FILE.json is a document;
- `tfds:NAME`: every record is a document; see `jaxmem.data.datasets`;
- `mix:WEIGHT*SOURCE,...`: several of these; see `jaxmem.data.mixture`.

Files may be packed (gzip, xz, bzip2), and every file in a zip archive is a document;
see `jaxmem.data.opened` for how they are told, and for what is refused.

Documents are sorted by name.

About a tenth of the bytes is held out, by *group*: the first component of the name, a
package or a directory. Near-copies such as encodings/cp1250.py and encodings/cp1251.py
share a group and so never stand on both sides.
"""

import dataclasses
import glob
import hashlib
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jaxmem.data import datasets, jsonl, mixture, opened
from jaxmem.data.errors import DataError
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


def split(source: str, heldout: str = "") -> dict[str, list[Piece]]:
  """The documents of a source, parted into training and held-out.

  Groups are walked in the order of the SHA-256 of their names, and each that keeps the
  held-out bytes at or below a tenth of all is held out. Where no group is that small (a
  single book, three equal files) the last tenth of the bytes is held out, in the order
  of the names: the one document that the cut goes through stands on both sides, its
  beginning in training and its end in held-out.

  Args:
    source: any but a mixture.
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


def mixed(
  source: str, heldout: str = ""
) -> tuple[dict[str, list[Piece]], tuple[mixture.Share, ...]]:
  """As `split`, of mixtures too.

  Each component is parted by the rule of `split`, and its documents are named behind
  its number. What is held out is not weighed.

  Args:
    source: any source.
    heldout: as for `split`; not a mixture.

  Returns:
    The pieces of both sides, component by component, and the components' shares of
    training, () for what is not a mixture.

  Raises:
    DataError: as `split`, or if a file is training in one component and held out in
      another.
  """
  if not source.startswith(mixture.PREFIX):
    return split(source, heldout), ()
  sides: dict[str, list[Piece]] = {"train": [], "heldout": []}
  shares, places = [], {"train": {}, "heldout": {}}
  for i, (weight, component) in enumerate(mixture.parse(source)):
    parts = split(component, heldout)
    if heldout and i:
      del parts["heldout"]  # the same for every component
    size = sum(piece.size for piece in parts["train"])
    shares.append(mixture.Share(weight, len(parts["train"]), size))
    for side, pieces in parts.items():
      sides[side] += [dataclasses.replace(p, name=f"{i}/{p.name}") for p in pieces]
      for piece in pieces:
        places[side].setdefault(_place(piece), set()).add(i)
  if not heldout:
    _refuse_leak(source, places["train"], places["heldout"])
  return sides, tuple(shares)


def _place(piece: Piece) -> str:
  return os.path.realpath(piece.path)


def _refuse_leak(source: str, train: dict, heldout: dict) -> None:
  for place, components in heldout.items():
    others = train.get(place, set())
    if others and len(others | components) > 1:
      raise DataError(
        f"{place} is training in one component of source {source!r} and held out in "
        "another: keep components apart, or name another source as heldout"
      )


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
    raise DataError(f"source {source!r} is a mixture: only data.source can be one")
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
  for path in (path for path in files if path.stat().st_size):
    name = path.relative_to(root).as_posix()
    for file in opened.members(path):
      own = f"{name}/{file.name}" if file.name else name
      if len(files) == 1 and file.name:
        own = file.name
      if records and _is_of_records(file, records[2]):
        pieces += jsonl.find(path, own, records[2] or "text", file.name)
      else:
        pieces += _document(file, own)
  return f"{len(files)} files", pieces


def _is_of_records(file: opened.Member, field: str | None) -> bool:
  """Whether each record is a document; of FILE.json only if it has the field."""
  suffix = opened.suffix(file.path)
  return bool(field) or suffix != ".json" or jsonl.holds(file, "text")


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
    if piece.start < here < piece.stop:
      here = piece.border(here)
    if here > piece.start:
      train.append(dataclasses.replace(piece, stop=here))
    if here < piece.stop:
      heldout.append(dataclasses.replace(piece, start=here))
    begin += piece.size
  return {"train": train, "heldout": heldout}


def _refuse_overlap(
  pieces: Sequence[Piece], held: Sequence[Piece], source: str, heldout: str
) -> None:
  real = {_place(piece) for piece in pieces}
  both = [piece.name for piece in held if _place(piece) in real]
  if both:
    raise DataError(
      f"{len(both)} files stand in both source {source!r} and heldout {heldout!r}, the "
      f"first is {both[0]}: keep them apart, or the held-out loss means nothing"
    )
