"""A folder with a model, as Hugging Face lays it out: its settings and its tensors.

    folder = ModelFolder("models/qwen3")
    folder.settings["model_type"]
    folder.tensors["model.norm.weight"].shape  # nothing is read yet

Nothing of the folder is ever run: files of Python code and pickled weights are left
alone. The package safetensors reads the tensors, memory-mapped, one by one.
"""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from jaxmem.core import files
from jaxmem.core.errors import DataError, reason
from jaxmem.core.extras import require

SETTINGS = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# The dtypes of tensors that numpy, with ml_dtypes, has; others are refused by name.
DTYPES = ("F64", "F32", "F16", "BF16")


class StoredTensor(NamedTuple):
  """A tensor that has not been read.

  Attributes:
    file: the path of its file.
    shape: its shape.
    dtype: its dtype, as safetensors names it.
  """

  file: Path
  shape: tuple[int, ...]
  dtype: str


class ModelFolder:
  """A model's folder.

  Attributes:
    path: of the folder.
    name: names the settings in messages.
    settings: what `config.json` holds.
    tensors: name -> tensor, of all files.
  """

  def __init__(self, path: str | Path):
    """Reads the settings, and the headers of the files of tensors.

    Raises:
      DataError: if a file is missing or damaged, or lies outside of the folder, or if
        the weights are pickled.
    """
    require("safetensors", extra="interop")
    self.path = Path(path)
    self.name = str(self.path / SETTINGS)
    self.settings = _read_object(self.path / SETTINGS)
    self.tensors: dict[str, StoredTensor] = {}
    for file, names in _weight_files(self.path).items():
      stored = _header(file)
      if missing := [name for name in names if name not in stored]:
        raise DataError(f"{file} has no {missing[0]}, which {INDEX} says it has")
      self.tensors |= stored

  def read(self, name: str) -> Shaped[np.ndarray, "..."]:
    """Returns a tensor in the dtype of the file.

    Raises:
      DataError: if its dtype is none of `DTYPES`, or it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    stored = self.tensors[name]
    if stored.dtype not in DTYPES:
      raise DataError(
        f"{name} in {stored.file} is {stored.dtype}: tensors can be "
        f"{', '.join(DTYPES)}; convert the model first"
      )
    try:
      with safe_open(stored.file, "np") as file:
        return file.get_tensor(name)
    except (SafetensorError, OSError) as error:
      raise DataError(
        f"cannot read {name} of {stored.file}: {reason(error)}"
      ) from error


def is_folder(path: str | Path) -> bool:
  """Returns whether a path is a folder with a model, by its settings."""
  with contextlib.suppress(DataError):
    return "model_type" in _read_object(Path(path) / SETTINGS)
  return False


def _read_object(path: Path) -> dict[str, Any]:
  """Reads a JSON file that holds an object."""
  try:
    value = files.read_json(path)
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except ValueError as error:
    raise DataError(f"{path} is not JSON: {reason(error)}") from error
  if not isinstance(value, dict):
    raise DataError(f"{path} holds no JSON object")
  return value


def _weight_files(folder: Path) -> dict[Path, list[str]]:
  """Maps each file of tensors to the names that the index says it has."""
  index = folder / INDEX
  if (folder / WEIGHTS).is_file():  # before an index, as transformers reads
    return {folder / WEIGHTS: []}
  if index.is_file():
    names = _read_object(index).get("weight_map")
    if not isinstance(names, dict):
      raise DataError(f"{index} has no weight_map")
    shards: dict[Path, list[str]] = {}
    for name, file in names.items():
      shards.setdefault(_inside(folder, file, index), []).append(name)
    return shards
  pickled = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
  if pickled:
    raise DataError(
      f"{folder} has its weights in {pickled[0].name}, which is pickled: unpickling "
      "runs code of the file, so it is not read; load it with transformers and call "
      "save_pretrained, which writes model.safetensors"
    )
  raise DataError(f"{folder} has no {WEIGHTS} and no {INDEX}")


def _inside(folder: Path, name: Any, index: Path) -> Path:
  """The file that an index names, which must lie in the folder."""
  # compared as written: in a hub's cache the files are links to another folder
  plain = isinstance(name, str) and Path(name).name == name and name not in ("", "..")
  if not plain:
    raise DataError(f"{index} names {name!r}, which is no file of its folder")
  return folder / name


def _header(path: Path) -> dict[str, StoredTensor]:
  """Returns the tensors of a file without reading them."""
  from safetensors import SafetensorError, safe_open

  try:
    with safe_open(path, "np") as file:
      slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
      return {
        name: StoredTensor(path, tuple(part.get_shape()), part.get_dtype())
        for name, part in slices.items()
      }
  except FileNotFoundError as error:
    raise DataError(f"{path} is missing") from error
  except (SafetensorError, OSError) as error:
    raise DataError(f"{path} is damaged ({reason(error)}){_where(path)}") from error


def _where(path: Path) -> str:
  """Says where a damaged file ends, and where its header says it should."""
  with contextlib.suppress(OSError, ValueError, struct.error, LookupError, TypeError):
    size = path.stat().st_size
    with open(path, "rb") as file:
      (length,) = struct.unpack("<Q", file.read(8))
      if length > size - 8:
        return f": its header would end at byte {8 + length:,} of {size:,}"
      header = json.loads(file.read(length))
    ends = [t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"]
    end = 8 + length + max(ends)
    if end != size:
      return f": its tensors end at byte {end:,}, the file at {size:,}"
  return ": fetch it again"
