"""GGUF files of tiny models, as a converter of others would write them."""

import json
import string

import numpy as np

from interop.make_folders import FOLDERS

# What the tokenizer spells: letters, a space in GPT-2's spelling, and a pair.
PIECES = [*string.ascii_lowercase, "\u0120", ".", "ab", *"0123456789"]
# The file's names, as the description of the format has them.
NAMES = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "lm_head": "output",
  "input_layernorm": "attn_norm",
  "post_attention_layernorm": "ffn_norm",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "self_attn.o_proj": "attn_output",
  **{f"self_attn.{x}_proj": f"attn_{x}" for x in "qkv"},
  **{f"mlp.{name}_proj": f"ffn_{name}" for name in ("gate", "up", "down")},
}


def _gguf_name(name):
  stem, _, kind = name.rpartition(".")
  if not stem.startswith("model.layers."):
    return f"{NAMES[stem]}.{kind}"
  _, _, layer, part = stem.split(".", 3)
  return f"blk.{layer}.{NAMES[part]}.{kind}"


def _pairs_adjacent(array, heads):
  """Rows of heads whose channels i and i + K/2 are neighbours, as a file has them."""
  halves = array.reshape(heads, 2, -1, *array.shape[1:])
  return np.swapaxes(halves, 1, 2).reshape(array.shape)


def write(path, name, halved=(), drop=(), **metadata):
  """Writes the model of a tiny folder as a GGUF file, with a tokenizer of letters.

  Args:
    path: of the file.
    name: of the folder.
    halved: tensors that are written in float16.
    drop: tensors that are left out.
    **metadata: another "architecture", and tensors that are added.
  """
  import gguf
  from safetensors import numpy as safetensors

  settings = json.loads((FOLDERS / name / "config.json").read_text())
  kind, rope = settings["model_type"], settings["rope_parameters"]
  heads = settings["num_attention_heads"], settings["num_key_value_heads"]
  writer = gguf.GGUFWriter(path, metadata.pop("architecture", kind))
  writer.add_block_count(settings["num_hidden_layers"])
  writer.add_embedding_length(settings["hidden_size"])
  writer.add_feed_forward_length(settings["intermediate_size"])
  writer.add_context_length(settings["max_position_embeddings"])
  writer.add_head_count(heads[0])
  writer.add_head_count_kv(heads[1])
  writer.add_key_length(settings.get("head_dim") or settings["hidden_size"] // heads[0])
  writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
  writer.add_rope_freq_base(rope["rope_theta"])
  if rope["rope_type"] == "yarn":
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
  tensors = safetensors.load_file(FOLDERS / name / "model.safetensors")
  for key, value in tensors.items():
    stored = _gguf_name(key)
    if stored in drop:
      continue
    if kind == "llama" and ".attn_q." in stored:
      value = _pairs_adjacent(value, heads[0])
    if kind == "llama" and ".attn_k." in stored:
      value = _pairs_adjacent(value, heads[1])
    writer.add_tensor(stored, value.astype(np.float16) if stored in halved else value)
  for key, value in metadata.items():
    writer.add_tensor(key, value)
  writer.add_tokenizer_model("gpt2")
  writer.add_tokenizer_pre("gpt-2")
  pieces = ["<|end|>", *PIECES[: settings["vocab_size"] - 1]]
  writer.add_token_list(pieces)
  writer.add_token_types([3] + [1] * (len(pieces) - 1))  # the first is a control piece
  writer.add_token_merges(["a b"])
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path
