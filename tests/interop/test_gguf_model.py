"""Models of GGUF files have the parameters of the folders that they were made from."""

import jax
import numpy as np
import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError
from jaxmem.interop import memories, pretrained
from jaxmem.models.pattern import entry
from support import gguf_files

pytest.importorskip("gguf", reason="needs the package gguf")
pytest.importorskip("tokenizers", reason="needs the package tokenizers")
safetensors = pytest.importorskip("safetensors.numpy")


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_a_file_has_the_parameters_of_its_folder(name, tmp_path):
  config, params = pretrained.read(gguf_files.write(tmp_path / "a.gguf", name))

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
  _, params = pretrained.read(
    gguf_files.write(tmp_path / "a.gguf", "llama", halved=(name,))
  )

  tensors = safetensors.load_file(FOLDERS / "llama" / "model.safetensors")
  down = tensors["model.layers.0.mlp.down_proj.weight"].astype(np.float16)
  ours = params["stack"]["groups"]["block_0"]["mlp"]["down"]["kernel"][0]
  np.testing.assert_array_equal(ours, down.T.astype(np.float32))


def test_a_window_takes_the_place_of_full_attention(tmp_path):
  path = gguf_files.write(tmp_path / "a.gguf", "llama")
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
  path = gguf_files.write(tmp_path / "a.gguf", "llama", **change)

  with pytest.raises(DataError, match=message):
    pretrained.read(path)
