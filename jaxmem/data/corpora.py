"""A corpus: documents on disk, split into training and held-out ones."""

import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.core.progress import DELAY, Progress
from jaxmem.data import sources
from jaxmem.data.file_slice import FileSlice
from jaxmem.data.leaks import Repeats
from jaxmem.data.mixture import Share

# Part of every fingerprint, so that a new layout on disk never meets old files.
_FORMAT = "jaxmem documents 1"
_SIDES = ("train", "heldout")


class Document(NamedTuple):
  """One document.

  Attributes:
    name: its path below the root of its source.
    text: its bytes, which need not be UTF-8.
  """

  name: str
  text: bytes


class Documents(Sequence):
  """Documents on disk, read one by one at any index."""

  def __init__(self, records: Any):
    self._records = records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Document:
    record = self._records[range(len(self))[index]]
    return Document(os.fsdecode(record["name"]), record["text"])


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A prepared corpus; `prepare` makes it.

  Attributes:
    train: the training documents.
    heldout: the held-out documents.
    fingerprint: SHA-256 over split, names and contents, and over the weights of a
      mixture; 64 hexadecimal digits.
    directory: where the documents lie, beside what is derived from them.
    shares: the components of a mixture, in the order of `train`; else empty.
    repeats: counts of documents that were equal to others, see `jaxmem.data.leaks`.
  """

  train: Documents
  heldout: Documents
  fingerprint: str
  directory: Path
  shares: tuple[Share, ...] = ()
  repeats: Repeats = Repeats()


def prepare(
  source: str, heldout: str = "", data_dir: str | os.PathLike | None = None
) -> Corpus:
  """Writes a source to disk as ArrayRecord, or finds it there.

  The directory is named by a hash of the documents, so a changed source never meets old
  files. It appears whole or not at all: a killed run leaves only a directory ending in
  `.tmp`, which is never read, and of two processes that prepare the same corpus, the
  second uses the files of the first.

  Args:
    source: "stdlib" (the Python standard library), a file, a directory, a glob
      pattern, JSON Lines, a TFDS dataset or a mixture; `jaxmem.data.documents` says how
      they are written and what a document is, `jaxmem.data.sources` what is held out.
    heldout: a source of held-out documents, which replaces the tenth of `source`; not a
      mixture.
    data_dir: where corpora are kept; None is $JAXMEM_DATA_DIR or ~/.cache/jaxmem.

  Returns:
    The corpus.

  Raises:
    DataError: if a source is missing, empty or unreadable, if `data_dir` cannot be
      written, or if the `train` extra is not installed.
  """
  arrayrecord = _import_arrayrecord()
  splits, shares = sources.mixed(source, heldout)
  # Each document is hashed before it is written: the name of the directory needs all
  # hashes, and texts of any size never lie in memory together.
  digests = {split: _digests(slices) for split, slices in splits.items()}
  fingerprint = _fingerprint(splits, digests)
  directory = _data_dir(data_dir) / fingerprint
  if shares:  # other weights make another corpus of the same documents: one directory
    parts = [fingerprint, *shares]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
  if not arrayrecord.is_there(directory, splits):
    _write(
      directory,
      {split: _reader(splits[split], digests[split]) for split in splits},
      arrayrecord,
    )
  train, heldout = (_documents(arrayrecord, directory, s) for s in _SIDES)
  return Corpus(
    train=train,
    heldout=heldout,
    fingerprint=fingerprint,
    directory=directory,
    shares=shares,
    repeats=splits.repeats,
  )


def _documents(arrayrecord: ModuleType, directory: Path, split: str) -> Documents:
  """Opens the documents of a split."""
  try:
    return Documents(arrayrecord.read(directory, split))
  except OSError as error:
    raise DataError(f"{error}: delete {directory}, it is made again") from error


def _import_arrayrecord() -> ModuleType:
  """Imports `jaxmem.data.arrayrecord` late: `import jaxmem.data` costs numpy only."""
  require("array_record")
  from jaxmem.data import arrayrecord

  return arrayrecord


def _data_dir(data_dir: str | os.PathLike | None) -> Path:
  """Returns the absolute directory of all corpora."""
  directory = data_dir or os.environ.get("JAXMEM_DATA_DIR") or "~/.cache/jaxmem"
  return Path(os.path.abspath(os.path.expanduser(directory)))


def _digests(slices: Sequence[FileSlice]) -> list[str]:
  """Returns the hash of each document."""
  digests = []
  with Progress(len(slices), "documents", delay=DELAY) as progress:
    for file_slice in slices:
      digests.append(hashlib.sha256(file_slice.read()).hexdigest())
      progress.advance(1, "hashed")
  return digests


def _fingerprint(
  splits: Mapping[str, Sequence[FileSlice]], digests: Mapping[str, Sequence[str]]
) -> str:
  """Hashes split, name and content of every document, in order."""
  total = hashlib.sha256(_FORMAT.encode())
  for split, slices in splits.items():
    for file_slice, digest in zip(slices, digests[split], strict=True):
      total.update(json.dumps([split, file_slice.name, digest]).encode())
  return total.hexdigest()


def _reader(
  slices: Sequence[FileSlice], digests: Sequence[str]
) -> Callable[[], Iterator[Document]]:
  """Returns a function that reads the documents of a split once more."""

  def read() -> Iterator[Document]:
    with Progress(len(slices), "documents", delay=DELAY) as progress:
      for file_slice, digest in zip(slices, digests, strict=True):
        text = file_slice.read()
        # The fingerprint is that of an earlier read; a file may have changed since.
        if hashlib.sha256(text).hexdigest() != digest:
          path = file_slice.path
          raise DataError(f"{path} changed while it was being read: run again")
        yield Document(file_slice.name, text)
        progress.advance(1, "written")

  return read


def _write(
  directory: Path,
  splits: Mapping[str, Callable[[], Iterator[Document]]],
  arrayrecord: ModuleType,
) -> None:
  """Writes all splits to a temporary directory, which then takes the final name."""
  temporary = directory.with_name(f"{directory.name}.{uuid.uuid4().hex}.tmp")
  try:
    temporary.mkdir(parents=True)
    arrayrecord.write(temporary, splits)
    if directory.is_dir():  # an older version left its documents in another layout
      for file in temporary.iterdir():
        os.replace(file, directory / file.name)
    else:
      os.rename(temporary, directory)
  except OSError as error:
    # If the splits are there now, another process was first; its files are the same.
    if not arrayrecord.is_there(directory, splits):
      raise DataError(
        f"cannot write the corpus under {directory.parent}: {error}; free or mend it, "
        "or set JAXMEM_DATA_DIR to another directory"
      ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
