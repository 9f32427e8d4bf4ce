"""Models of GGUF files have the parameters of the folders that they were made from."""

import json

import jax
import numpy as np
import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError
from jaxmem.interop import memories, pretrained
from jaxmem.models.pattern import entry

gguf = pytest.importorskip("gguf", reason="needs the package gguf")
pytest.importorskip("tokenizers", reason="needs the package tokenizers")
safetensors = pytest.importorskip("safetensors.numpy")

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


def _write(path, name, halved=(), drop=(), **metadata):
  """Writes the model of a folder as a GGUF file."""
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
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_a_file_has_the_parameters_of_its_folder(name, tmp_path):
  config, params = pretrained.read(_write(tmp_path / "a.gguf", name))

  expected_config, expected = pretrained.read(FOLDERS / name)
  same = jax.tree.map(np.array_equal, _flat(params), _flat(expected))
  assert all(same.values()) and same
  if name != "qwen2":  # a file says nothing of windows in some layers alone
    assert config == expected_config


def _flat(params):
  """The parameters of each layer alone: files and folders may stack other layers."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  rows = {}
  for path, leaf in leaves:
    key = jax.tree_util.keystr(path, simple=True, separator="/")
    if "stack" not in key:
      rows[key] = leaf
      continue
    part = key.split("block_")[1].split("/", 1)
    count = leaf if "/groups/" in key else leaf[None]
    rows.setdefault(part[1], []).append((0 if "/first/" in key else 1, part[0], count))
  return {
    key: np.concatenate([c for *_, c in sorted(value, key=lambda v: v[:2])])
    if isinstance(value, list)
    else value
    for key, value in rows.items()
  }


def test_halves_are_read_as_the_numbers_that_they_are(tmp_path):
  name = "blk.0.ffn_down.weight"  # of 24 x 40, which no block of 32 divides
  _, params = pretrained.read(_write(tmp_path / "a.gguf", "llama", halved=(name,)))

  tensors = safetensors.load_file(FOLDERS / "llama" / "model.safetensors")
  down = tensors["model.layers.0.mlp.down_proj.weight"].astype(np.float16)
  ours = params["stack"]["groups"]["block_0"]["mlp"]["down"]["kernel"][0]
  np.testing.assert_array_equal(ours, down.T.astype(np.float32))


def test_a_window_takes_the_place_of_full_attention(tmp_path):
  path = _write(tmp_path / "a.gguf", "llama")
  config = pretrained.read(path)[0]

  short = memories.replace(config, memories.parse("window:window_size=5"))

  options = dict(config.pattern[0].options)
  del options["capacity"]
  assert short.pattern == (entry("window", window_size=5, **options),)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"architecture": "gpt2"}, "holds a 'gpt2'.*llama, qwen2, qwen3"),
    ({"drop": ("token_embd.weight",)}, "has no token_embd.weight"),
    ({"drop": ("blk.1.attn_q.weight",)}, "no model.layers.1.self_attn.q_proj.weight"),
    (
      {"rope_freqs.weight": np.ones(4, np.float32)},
      "has rope_freqs.weight.*Hugging Face folder",
    ),
    ({"blk.0.odd.weight": np.ones(4, np.float32)}, "an unknown blk.0.odd.weight"),
  ],
)
def test_what_is_no_such_model_is_refused(tmp_path, change, message):
  path = _write(tmp_path / "a.gguf", "llama", **change)

  with pytest.raises(DataError, match=message):
    pretrained.read(path)
