"""Documents as ArrayRecord through TFDS, without TensorFlow.

The only file that knows tensorflow-datasets; imported by the calls that need it.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

_VERSION = "1.0.0"


class Documents(tfds.core.GeneratorBasedBuilder):
  """A TFDS builder whose examples come from outside, in the order given."""

  VERSION = tfds.core.Version(_VERSION)

  def __init__(self, *, splits: Mapping[str, Callable[[], Iterable]], data_dir: str):
    self._splits = splits
    super().__init__(data_dir=data_dir, file_format="array_record")

  def _info(self) -> tfds.core.DatasetInfo:
    # Text comes back as the bytes that were put in, whatever they are: NULs at the end
    # and invalid UTF-8 included.
    features = {"name": tfds.features.Text(), "text": tfds.features.Text()}
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterable]:
    del dl_manager
    return {name: self._generate_examples(name) for name in self._splits}

  def _generate_examples(self, split: str) -> Iterable:
    for index, (name, text) in enumerate(self._splits[split]()):
      yield index, {"name": os.fsencode(name), "text": text}


def write(directory: Path, splits: Mapping[str, Callable[[], Iterable]]) -> None:
  """Writes every split, silently and without a look at the network.

  Args:
    directory: where to; must exist.
    splits: for each split a function that yields (name, text) pairs, text in bytes.
  """
  tfds.disable_progress_bar()
  builder = Documents(splits=splits, data_dir=os.fspath(directory))
  # TFDS prints two banners to stdout and has no option against it.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


def read(directory: Path, split: str) -> Any:
  """The random-access source of what `write` put into `directory`.

  Args:
    directory: as given to `write`, perhaps renamed since.
    split: a key of `splits`.

  Returns:
    A sequence of {"name": bytes, "text": bytes}.
  """
  path = directory / Documents.name / _VERSION
  return tfds.builder_from_directory(os.fspath(path)).as_data_source(split)
