"""The folder of a sentence encoder: how the vector of a text is made of its tokens.

`modules.json`, where a folder has it, lists what follows the encoder: the mean of the
tokens, their maximum, or the first one. Without it the mean is taken.

Source: Reimers and Gurevych 2019, arXiv:1908.10084.
"""

import dataclasses
from pathlib import Path
from typing import Any

from jaxmem.core import files
from jaxmem.core.errors import DataError, reason
from jaxmem.models.encoder_config import EncoderConfig

MODULES, LENGTH = "modules.json", "sentence_bert_config.json"
# The flag of a way to pool -> `EncoderConfig.pool`.
_POOLS = {
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_max_tokens": "max",
  "pooling_mode_cls_token": "first",
}
# What may follow the encoder; vectors are of unit norm here, so the last changes none.
_TRANSFORMER, _POOLING, _NORMALIZE = "Transformer", "Pooling", "Normalize"


def config_of(folder: str | Path, config: EncoderConfig) -> tuple[EncoderConfig, int]:
  """Returns the config with the folder's pooling, and how many tokens a text may have.

  Args:
    folder: of the model.
    config: of its encoder.

  Raises:
    DataError: if the folder's modules are others than an encoder, a pooling that we
      have and a norm.
  """
  folder, length = Path(folder), config.positions
  if (folder / LENGTH).is_file():
    length = min(_read(folder / LENGTH).get("max_seq_length") or length, length)
  if not (folder / MODULES).is_file():
    return dataclasses.replace(config, pool="mean"), length
  pool: Any = "mean"
  for module in _read(folder / MODULES):
    kind = str(module.get("type")).rpartition(".")[2]
    if kind == _POOLING:
      pool = _pool(folder / str(module.get("path")) / "config.json")
    elif kind not in (_TRANSFORMER, _NORMALIZE):
      raise DataError(
        f"{folder / MODULES} has a {kind} behind the encoder: only {_POOLING} and "
        f"{_NORMALIZE} can be read"
      )
  return dataclasses.replace(config, pool=pool), length


def _pool(path: Path) -> str:
  """Reads the way to pool."""
  settings = _read(path)
  modes = [
    k for k, v in settings.items() if k.startswith("pooling_mode_") and v is True
  ]
  if len(modes) != 1 or modes[0] not in _POOLS:
    raise DataError(
      f"{path} has {' and '.join(modes) or 'no pooling_mode'}: one of "
      f"{', '.join(_POOLS)} can be read"
    )
  return _POOLS[modes[0]]


def _read(path: Path) -> Any:
  """Reads a JSON file."""
  try:
    return files.read_json(path)
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except ValueError as error:
    raise DataError(f"{path} is not JSON: {reason(error)}") from error
