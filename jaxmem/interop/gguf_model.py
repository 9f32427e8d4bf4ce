"""A model of a GGUF file, with the settings and the tensors of a Hugging Face folder.

The rules of a family then read both. The file names the tensors its own way, and in a
Llama it has the rows of queries and keys in another order:

    rotary position embedding turns pairs of channels; the file has the two channels of
    a pair side by side, the folder, and our parameters, half a head apart.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (keys and names).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.interop.model_folder import StoredTensor

# Architectures that can be read, each also a model type of `llama.FAMILY`; whether
# queries and keys have their rotated pairs side by side.
_PAIRS_ADJACENT = {"llama": True, "qwen2": False, "qwen3": False}
# Names around the layers, then in a layer: the file's -> the folder's.
_OUTER = {
  "token_embd": "model.embed_tokens",
  "output_norm": "model.norm",
  "output": "lm_head",
}
_LAYER = {
  "attn_norm": "input_layernorm",
  "attn_q": "self_attn.q_proj",
  "attn_k": "self_attn.k_proj",
  "attn_v": "self_attn.v_proj",
  "attn_q_norm": "self_attn.q_norm",
  "attn_k_norm": "self_attn.k_norm",
  "attn_output": "self_attn.o_proj",
  "ffn_norm": "post_attention_layernorm",
  "ffn_gate": "mlp.gate_proj",
  "ffn_up": "mlp.up_proj",
  "ffn_down": "mlp.down_proj",
}
# Frequencies of rotary positions, scaled as in Llama 3 by numbers that the file lacks.
_FREQUENCIES = "rope_freqs.weight"


class GGUFModel:
  """A model of a GGUF file; see `model_folder.ModelFolder`, whose place it can take.

  Attributes:
    path: of the file.
    name: names the settings in messages.
    metadata: what the file says of the model, by its own keys.
    settings: what `config.json` would hold.
    tensors: name -> tensor, by the names of a folder.
  """

  def __init__(self, path: str | Path):
    """Reads the metadata.

    Raises:
      DataError: if the file is damaged, or its architecture is not known here.
    """
    require("gguf", "tokenizers", extra="interop")
    from jaxmem.tokenizers import gguf_file

    self.path, self.name = Path(path), str(path)
    self.metadata, self._arrays = gguf_file.read(path)
    self._kind = self.metadata.get("general.architecture")
    if self._kind not in _PAIRS_ADJACENT:
      raise DataError(
        f"{path} holds a {self._kind!r}: of GGUF files "
        f"{', '.join(_PAIRS_ADJACENT)} can be read; other models as their folders"
      )
    if _FREQUENCIES in self._arrays:
      raise DataError(
        f"{path} has {_FREQUENCIES}, positions scaled by numbers that it does not "
        "name: read the model's Hugging Face folder"
      )
    shapes = self._arrays.shapes
    self._stored = {_folder_name(name): name for name in shapes}
    self.tensors = {
      name: StoredTensor(self.path, shapes[stored], "F32")
      for name, stored in self._stored.items()
    }
    self.settings = self._settings(self.metadata)

  def read(self, name: str) -> Shaped[np.ndarray, "..."]:
    """Returns a tensor, dequantized to float32."""
    array = self._arrays[self._stored[name]]
    part = self._stored[name].split(".")[-2]
    if part not in ("attn_q", "attn_k") or not _PAIRS_ADJACENT[self._kind]:
      return array
    key = "num_attention_heads" if part == "attn_q" else "num_key_value_heads"
    heads = self.settings[key]
    apart = array.reshape(heads, -1, 2, *array.shape[1:])  # [H, K/2, 2, ...]
    return apart.swapaxes(1, 2).reshape(array.shape)

  def _settings(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings by the names of a folder."""

    def value(key: str, default: Any = None) -> Any:
      found = metadata.get(f"{self._kind}.{key}", default)
      if found is None:
        raise DataError(f"{self.path} has no {self._kind}.{key}: it is not whole")
      return found

    words = self.tensors.get("model.embed_tokens.weight")
    if words is None:
      raise DataError(f"{self.path} has no token_embd.weight: it is not whole")
    heads, width = value("attention.head_count"), value("embedding_length")
    settings = {
      "model_type": self._kind,
      "vocab_size": words.shape[0],
      "hidden_size": width,
      "intermediate_size": value("feed_forward_length"),
      "num_hidden_layers": value("block_count"),
      "num_attention_heads": heads,
      "num_key_value_heads": value("attention.head_count_kv", heads),
      "head_dim": value("attention.key_length", width // heads),
      "rms_norm_eps": _shortest(value("attention.layer_norm_rms_epsilon")),
      "max_position_embeddings": value("context_length"),
      "tie_word_embeddings": "lm_head.weight" not in self.tensors,
      "attention_bias": "model.layers.0.self_attn.q_proj.bias" in self.tensors,
    }
    return settings | {"rope_parameters": self._rope(value)}

  def _rope(self, value: Any) -> dict[str, Any]:
    """Returns the settings of rotary positions."""
    rope = {"rope_theta": value("rope.freq_base", 10_000.0)}
    scaling = value("rope.scaling.type", "none")
    if scaling == "none":
      return rope | {"rope_type": "default"}
    rope |= {"rope_type": scaling, "factor": value("rope.scaling.factor")}
    if length := value("rope.scaling.original_context_length", 0):
      rope["original_max_position_embeddings"] = length
    return rope


def _folder_name(name: str) -> str:
  """Returns the name of a tensor in a folder; an unknown one keeps its name."""
  stem, _, kind = name.rpartition(".")
  if stem in _OUTER:
    return f"{_OUTER[stem]}.{kind}"
  match stem.split("."):
    case ["blk", layer, part] if part in _LAYER:
      return f"model.layers.{layer}.{_LAYER[part]}.{kind}"
  return name


def _shortest(value: float) -> float:
  """Returns the decimal that a float32 was: 1e-5, and not 9.999999747378752e-06."""
  return float(str(np.float32(value))) if math.isfinite(value) else value
