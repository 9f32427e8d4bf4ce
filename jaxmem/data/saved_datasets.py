"""Folders that Hugging Face's `datasets` saved, without that package.

`Dataset.save_to_disk` writes Arrow files and a `state.json` that lists them;
`DatasetDict.save_to_disk` writes such a folder for each split.
"""

import json
from pathlib import Path
from typing import Any

from jaxmem.core.errors import DataError

_STATE, _SPLITS, _INFO = "state.json", "dataset_dict.json", "dataset_info.json"


def is_saved(path: str | Path) -> bool:
  """Returns whether a folder is one that `save_to_disk` wrote."""
  path = Path(path).expanduser()
  return any((path / name).is_file() for name in (_STATE, _SPLITS, _INFO))


def files(path: str | Path) -> list[Path]:
  """Returns the Arrow files of a saved dataset, in their order.

  Args:
    path: a folder for which `is_saved` holds.

  Raises:
    DataError: if it holds several splits, its rows are only chosen by an index, or a
      file of it is missing or damaged.
  """
  path = Path(path)
  if (path / _SPLITS).is_file():
    splits = _listed(path / _SPLITS, "splits")
    raise DataError(
      f"{path} holds the splits {', '.join(map(str, splits))} of a Hugging Face "
      f"dataset: name one as {path / str(splits[0])}"
    )
  if not (path / _STATE).is_file():
    raise DataError(
      f"{path} is a cache folder of Hugging Face datasets ({_INFO} without {_STATE}): "
      f"name its files, {path}/*.arrow, or a folder of save_to_disk"
    )
  state = path / _STATE
  if _json(state).get("_indices_data_files"):
    raise DataError(
      f"{path} keeps which rows count in an index, which is not read: save it again "
      "with datasets.load_from_disk(FOLDER).flatten_indices().save_to_disk(OTHER)"
    )
  listed = _listed(state, "_data_files")
  paths = [path / Path(str(file.get("filename", ""))).name for file in listed]
  if missing := [file.name for file in paths if not file.is_file()]:
    raise DataError(
      f"{path} lacks {len(missing)} of its {len(paths)} files, the first is "
      f"{missing[0]!r}: fetch it again"
    )
  return paths


def _listed(path: Path, name: str) -> list[Any]:
  """Returns a list of a file of JSON that is not empty."""
  values = _json(path).get(name)
  if not isinstance(values, list) or not values:
    raise DataError(f"{path} lists no {name}: save the dataset again")
  return values


def _json(path: Path) -> dict[str, Any]:
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
      raise ValueError("it is no object")
  except (OSError, ValueError) as error:
    raise DataError(
      f"{path} cannot be read: {error}; save the dataset again"
    ) from error
  return found
