"""The documents of one source, in files or in a dataset.

A source is

- "stdlib", the Python standard library, the corpus that every machine has (write
  ./stdlib for a file or directory of that name);
- a file, a directory, or a glob pattern: every file that is not empty is a document,
  named by its path below the root; but files of JSON Lines or JSON whose records have a
  text in "text" are read as below, and other files of JSON Lines, which are read whole,
  are named on standard error;
- `FILE.jsonl` or `FILE.jsonl#FIELD`, perhaps a pattern: every line is a document, the
  text of its field "text" or FIELD, which may be a template of several fields such as
  "{title}\\n{body}"; see `jaxmem.data.jsonl`. Every record of a FILE.json is one too if
  it has the field "text" or a FIELD is named; any other FILE.json is one document;
- `FILE.parquet#FIELD`, `FILE.arrow#FIELD`, perhaps a pattern, or `FOLDER#FIELD`, which
  Hugging Face's `save_to_disk` wrote: every row is one; see `jaxmem.data.columnar`;
- `FILE.tar#FIELD`, perhaps a pattern: the files of a key are one record, as WebDataset
  has them; see `jaxmem.data.shards`;
- any of these with `#FIELD:group=NAME`: the rows with one value of the field NAME are
  one document; see `jaxmem.data.record_texts`;
- `-`, standard input, as any file, and `-#FIELD` for records;
- `tfds:NAME`: every record is a document; see `jaxmem.data.datasets`;
- `mix:WEIGHT*SOURCE,...`: several of these; see `jaxmem.data.mixture`.

Files may be packed (gzip, xz, bzip2, Zstandard), and every file in a zip or tar archive
is a document where no FIELD is named; see `jaxmem.data.opened` for how they are told,
and for what is refused.

Documents are sorted by name.
"""

import glob
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import (
  archives,
  columnar,
  datasets,
  jsonl,
  mixture,
  opened,
  saved_datasets,
  shards,
  standard_input,
)
from jaxmem.data.file_slice import FileSlice
from jaxmem.data.record_texts import Field

STDLIB = "stdlib"
# FILE.jsonl#FIELD; the suffix may have any capitals, and one of a compression after it.
_RECORDS = re.compile(
  r"(?s)((?i:.*\.(?:jsonl|ndjson|jsonlines|jl|json|parquet|arrow|feather|tar|tgz)"
  r"(?:\.(?:gz|xz|bz2|zst|zip))?))(?:#(.+))?"
)
_STDLIB_SKIPS = {
  "test",
  "tests",
  "idle_test",
  "site-packages",
  "dist-packages",
  "__pycache__",
}


def find(source: str) -> list[FileSlice]:
  """Finds the documents of one source; the module's docstring says what a document is.

  Args:
    source: any source but a mixture.

  Returns:
    A slice for every document that is not empty, sorted by name; at least one.

  Raises:
    DataError: if the source does not exist, matches no file, or only empty ones, or if
      it cannot be read.
  """
  if source.startswith(mixture.PREFIX):
    raise DataError(f"source {source!r} is a mixture: only task.source can be one")
  if source.startswith(datasets.PREFIX):
    searched, slices = "records", list(datasets.find(source))
  else:
    searched, slices = _in_files(source)
  slices = [file_slice for file_slice in slices if file_slice.size]
  if not slices:
    raise DataError(
      f"all {searched} of source {source!r} are empty: give at least one with text"
    )
  return sorted(slices, key=lambda file_slice: file_slice.name)


class _Named(NamedTuple):
  """What a source names.

  Attributes:
    path: the files.
    field: the spec of the field, if it names one.
    is_records: whether its files are named as records of JSON.
  """

  path: str
  field: str | None = None
  is_records: bool = False


def _named(source: str) -> _Named:
  """Parts a source at the `#` of its field, if it is one of records."""
  if match := _RECORDS.fullmatch(source):
    suffix = opened.suffix(match[1])
    return _Named(match[1], match[2], bool(match[2]) or suffix in jsonl.SUFFIXES)
  path, mark, field = source.partition("#")
  if mark and (path == standard_input.NAME or saved_datasets.is_saved(path)):
    return _Named(path, field, True)
  return _Named(source)


def _in_files(source: str) -> tuple[str, list[FileSlice]]:
  """Returns how many files a source has, in words, and their documents."""
  named = _named(source)
  root, paths = _locate(named.path)
  files = [path for path in paths if path.is_file()]
  if not files:
    raise DataError(
      f"source {source!r} matches 0 files: check the path or the pattern "
      "(hidden files do not count)"
    )
  root = root or Path(os.path.commonpath([path.parent for path in files]))
  slices: list[FileSlice] = []
  read_whole: list[str] = []
  for path in (path for path in files if path.stat().st_size):
    file_name = path.relative_to(root).as_posix()
    if opened.kind(path) in columnar.FORMATS:
      slices += columnar.find(path, file_name, Field.parse(named.field))
      continue
    if named.field and archives.is_tar(path):
      name = "" if len(files) == 1 else file_name
      slices += shards.find(path, name, Field.parse(named.field))
      continue
    for file in opened.members(path):
      name = f"{file_name}/{file.name}" if file.name else file_name
      if len(files) == 1 and file.name:
        name = file.name
      if _is_of_records(file, named):
        slices += jsonl.find(path, name, Field.parse(named.field), file.name)
      else:
        slices += _document(file, name)
        if _suffix(file) in jsonl.SUFFIXES:
          read_whole.append(name)
  if read_whole:
    print(
      f"jaxmem: {len(read_whole):,} files of JSON Lines of {source!r} have no text in "
      f"the field 'text' and are read whole, JSON and all ({read_whole[0]}): name the "
      "field as DIRECTORY/*.jsonl#FIELD, or leave them out",
      file=sys.stderr,
      flush=True,
    )
  return f"{len(files)} files", slices


def _is_of_records(file: opened.Member, named: _Named) -> bool:
  """Returns whether each record of a file is a document.

  Each is one if the source names a field, or files of JSON Lines; otherwise, as in a
  directory, if the file is JSON and its first record has a text.
  """
  if named.is_records:
    return True
  is_json = _suffix(file) in (".json", *jsonl.SUFFIXES)
  if named.path == standard_input.NAME:  # which has no suffix
    is_json = True
  return is_json and jsonl.holds(file, "text")


def _suffix(file: opened.Member) -> str:
  return opened.suffix(file.name or file.path)


def _document(file: opened.Member, name: str) -> Iterator[FileSlice]:
  """Yields the whole text of a file as one document."""
  begin = opened.is_plain(file)
  packed = begin is None
  stop = opened.size(file) if packed else file.path.stat().st_size
  yield FileSlice(name, file.path, begin or 0, stop, file.name, packed)


def _locate(source: str) -> tuple[Path | None, Iterable[Path]]:
  """Returns the root of the names (None is their common parent), and the files."""
  if source == STDLIB:
    root = Path(sysconfig.get_path("stdlib"))
    return root, _stdlib(root)
  if source == standard_input.NAME:
    source = str(standard_input.copied())
  path = Path(os.path.abspath(os.path.expanduser(source)))
  try:
    is_file, is_folder = path.is_file(), path.is_dir()
  except OSError as error:  # such as a name that is too long
    raise DataError(
      f"source {source[:60]!r} cannot be looked for: {error.strerror}"
    ) from error
  if source and is_file:
    return path.parent, [path]
  if source and is_folder and saved_datasets.is_saved(path):
    return path, saved_datasets.files(path)
  if source and is_folder:
    return path, _walk(path)
  file, mark, field = source.rpartition("#")
  if mark and Path(os.path.expanduser(file)).is_file():
    raise DataError(
      f"source {source!r} names the field {field!r} of {file}, which is read whole: "
      "give records (FILE.jsonl#FIELD, FILE.parquet#FIELD)"
    )
  if glob.has_magic(source):
    return None, [Path(match) for match in glob.glob(str(path), recursive=True)]
  raise DataError(
    f"source {source!r} does not exist: give a file, a directory, a glob pattern, or "
    f"{STDLIB!r} for the Python standard library"
  )


def _stdlib(root: Path) -> Iterator[Path]:
  """Yields the modules of the standard library, without its tests."""
  for path in _walk(root):
    if path.suffix == ".py" and not _STDLIB_SKIPS & set(path.relative_to(root).parts):
      yield path


def _walk(root: Path) -> Iterator[Path]:
  """Yields all files below a directory, hidden ones left out."""
  # os.walk follows no link to a directory: it may lead back up.
  for directory, folders, files in os.walk(root):
    folders[:] = [name for name in folders if not name.startswith(".")]
    yield from (Path(directory, name) for name in files if not name.startswith("."))
