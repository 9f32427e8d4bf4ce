"""TensorFlow Datasets as sources, without TensorFlow.

`tfds:NAME[/CONFIG][:VERSION][[SPLIT]][@DATA_DIR][#FEATURE]`, such as `tfds:pg19`,
`tfds:glue/cola:2.0.0[validation]@~/sets#sentence`. The split is "train" if not given,
the directory $TFDS_DATA_DIR or TFDS's own, the feature the only one of text.

A dataset that lies there prepared as ArrayRecord is read without a look at the network;
another is downloaded and prepared first, by TFDS.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.data.file_slice import FileSlice

PREFIX = "tfds:"
_SYNTAX = re.compile(
  r"(?P<name>[^\[\]@#]+)(\[(?P<split>[^@#]+)\])?(@(?P<directory>[^#]+))?(#(?P<feature>.+))?"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RecordSlice(FileSlice):
  """The text of one record: its bytes `start` to `stop`.

  Attributes:
    records: all records of the split, at random access.
    index: the record's number in its split.
    feature: the record's feature with the text.
  """

  records: Any
  index: int
  feature: str

  def part(self, begin: int, size: int) -> bytes:
    at = self.start + begin
    return _text(self)[at : min(at + size, self.stop)]


def find(source: str) -> Iterator[RecordSlice]:
  """Yields the documents of a dataset; empty texts are no documents.

  Raises:
    DataError: if the source is misspelt, unknown, cannot be prepared or read, or has
      not exactly one text feature and names none.
  """
  builder, split, feature = _opened(source)
  feature = _feature(builder, feature, source)
  records = _split(builder, split, source)
  path = Path(builder.data_path, f"[{split}]")
  for index in range(len(records)):
    name = f"{split}:{index:09}"
    record = RecordSlice(
      name, path, start=0, stop=0, records=records, index=index, feature=feature
    )
    if size := len(_text(record)):
      yield dataclasses.replace(record, stop=size)


def records(source: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the records of a dataset with their numbers: texts, and labels by name.

  Raises:
    DataError: if the source is misspelt, unknown, or cannot be prepared or read.
  """
  import tensorflow_datasets as tfds

  builder, split, _ = _opened(source)
  features, rows = builder.info.features, _split(builder, split, source)
  for index in range(len(rows)):
    record = {}
    for name, value in rows[index].items():
      if isinstance(features[name], tfds.features.ClassLabel):
        # TFDS writes -1 where a record has no label
        record[name] = features[name].int2str(int(value)) if value >= 0 else ""
      elif isinstance(features[name], tfds.features.Text):
        record[name] = _decoded(value)
    yield index, record


def _decoded(value: bytes) -> str | bytes:
  """Returns text, or the bytes if they are not UTF-8, which readers then refuse."""
  try:
    return value.decode()
  except UnicodeDecodeError:
    return value


def _opened(source: str) -> tuple[Any, str, str | None]:
  """Returns the builder of a source, its split, and the feature that it names."""
  match = _SYNTAX.fullmatch(source.removeprefix(PREFIX))
  if not match:
    raise DataError(
      f"source {source!r} is not tfds:NAME[/CONFIG][:VERSION][[SPLIT]][@DATA_DIR]"
      "[#FEATURE]"
    )
  require("tensorflow_datasets", "array_record", "importlib_resources")
  directory = match["directory"] or os.environ.get("TFDS_DATA_DIR")
  directory = os.path.expanduser(directory) if directory else None
  builder = _builder(match["name"], directory)
  return builder, match["split"] or "train", match["feature"]


def _split(builder: Any, split: str, source: str) -> Any:
  """Returns all records of a split, at random access."""
  try:
    return builder.as_data_source(split)
  except Exception as error:  # TFDS raises errors of every kind
    raise DataError(
      f"cannot read split {split!r} of {source!r}: {_first_line(error)}; it must be "
      "there and prepared with file_format='array_record'"
    ) from error


def _builder(name: str, directory: str | None) -> Any:
  import tensorflow_datasets as tfds

  options = dict(data_dir=directory, try_gcs=False)
  try:
    try:
      builder = tfds.builder(name, **options)
    except tfds.core.DatasetNotFoundError:
      _import_old_layout(Path(tfds.__file__).parent, re.split("[/:]", name)[0])
      builder = tfds.builder(name, **options)
    if not builder.is_prepared():
      # ArrayRecord is the one format that is read at random without TensorFlow.
      builder = tfds.builder(name, file_format="array_record", **options)
      _prepare(builder)
  except Exception as error:
    raise DataError(
      f"cannot open dataset {name!r} in {directory or 'the default directory'}: "
      f"{_first_line(error)}; check name, version and directory, or prepare it there "
      "as array_record on a machine that can download it"
    ) from error
  return builder


def _import_old_layout(root: Path, name: str) -> None:
  """Registers a dataset that TFDS finds by itself only with TensorFlow."""
  for path in sorted([*root.glob(f"*/{name}.py"), *root.glob(f"*/{name}/__init__.py")]):
    module = path.parent if path.name == "__init__.py" else path.with_suffix("")
    parts = module.relative_to(root).parts
    importlib.import_module(".".join(("tensorflow_datasets", *parts)))


def _prepare(builder: Any) -> None:
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  # TFDS prints to standard output, which belongs to the command that asked.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


def _feature(builder: Any, name: str | None, source: str) -> str:
  """Returns the text feature of that name, or the only one if the name is None."""
  import tensorflow_datasets as tfds

  features = builder.info.features
  is_text = tfds.features.Text
  texts = sorted(key for key, kind in features.items() if isinstance(kind, is_text))
  if name is None and len(texts) == 1:
    return texts[0]
  if name in texts:
    return name
  fault = "names no feature" if name is None else f"has no text feature {name!r}"
  raise DataError(
    f"source {source!r} {fault}; its text features: {', '.join(texts) or 'none'}; name "
    "one as tfds:NAME#FEATURE"
  )


def _text(record: RecordSlice) -> bytes:
  """Returns the whole text of a record."""
  try:
    return record.records[record.index][record.feature]
  except Exception as error:
    raise DataError(
      f"record {record.index} of {record.path} cannot be read: {_first_line(error)}; "
      "prepare the dataset again"
    ) from error


def _first_line(error: Exception) -> str:
  return (str(error).strip() or type(error).__name__).splitlines()[0]
