"""Longformer and BigBird: which settings are refused, and who reads whom."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.make_encoder_folders import FOLDERS
from jaxmem.core.errors import DataError
from jaxmem.interop import pretrained
from jaxmem.models.encoder import Encoder
from jaxmem.models.pattern import entry, show

safetensors = pytest.importorskip("safetensors.numpy")


def _copy(tmp_path, name, **settings):
  """A copy of a folder, with other settings."""
  folder = tmp_path / "model"
  shutil.copytree(FOLDERS / name, folder)
  values = json.loads((folder / "config.json").read_text()) | settings
  (folder / "config.json").write_text(json.dumps(values))
  return folder


@pytest.mark.parametrize(
  "name, settings, message",
  [
    ("big_bird", {"attention_type": "block_sparse"}, "only 'original_full' can be"),
    ("big_bird", {"attention_type": None}, "attention_type is 'block_sparse'"),
    ("big_bird", {"rescale_embeddings": True}, "rescale_embeddings True: only False"),
    ("longformer", {"attention_window": [4, 8]}, "2 attention_window for 3 num_hidden"),
    ("longformer", {"attention_window": 5}, "attention_window has 5: half of it is on"),
    ("longformer", {"hidden_act": "relu"}, "hidden_act 'relu': only 'gelu'"),
  ],
)
def test_settings_of_another_model_are_refused(tmp_path, name, settings, message):
  with pytest.raises(DataError, match=message):
    pretrained.read(_copy(tmp_path, name, **settings))


def test_the_head_of_answers_of_a_longformer_is_refused_by_name(tmp_path):
  folder = _copy(tmp_path, "longformer")
  tensors = safetensors.load_file(folder / "model.safetensors")
  tensors["qa_outputs.bias"] = np.zeros(2, np.float32)
  safetensors.save_file(tensors, folder / "model.safetensors")
  with pytest.raises(DataError, match=r"an unknown qa_outputs\.bias"):
    pretrained.read(folder)


def test_windows_of_layers_become_a_pattern_that_repeats_where_it_can():
  equal, _ = pretrained.read(FOLDERS / "longformer_language")
  unequal, _ = pretrained.read(FOLDERS / "longformer")
  assert (len(equal.pattern), equal.num_groups) == (1, 3)
  sizes = [dict(layer.options)["window_size"] for layer in unequal.pattern]
  assert (sizes, unequal.num_groups) == ([4, 8, 4], 1)


def test_an_encoder_of_other_layers_is_not_written_as_a_longformer(tmp_path):
  config, params = pretrained.read(FOLDERS / "bert")
  with pytest.raises(DataError, match="is no LONGFORMER"):
    pretrained.save(tmp_path, config, params, "longformer")
  assert show((entry("encoder_attention"),)) in show(config.pattern)


def test_a_far_token_is_read_through_the_first_alone():
  config, params = pretrained.read(FOLDERS / "longformer_language")
  tokens = jnp.arange(13)[None] % 5 + 4

  @jax.jit
  def last(kernel):
    """Features of the last token, which three layers of windows take from 6 before."""
    block = params["stack"]["groups"]["block_0"]
    mixer = block["mixer"] | {"v_global": block["mixer"]["v_global"] | kernel}
    groups = {"block_0": block | {"mixer": mixer}}
    moved = params | {"stack": {"groups": groups}}

    def features(text):
      batch = {"tokens": text, "length": jnp.array([13])}
      return Encoder(config).apply({"params": moved}, batch, method="tokens")[0, -1]

    return features(tokens), features(tokens.at[0, 3].set(20))

  kernel = params["stack"]["groups"]["block_0"]["mixer"]["v_global"]["kernel"]
  before, after = last({"kernel": kernel})
  assert np.abs(before - after).max() > 1e-3
  # with values of 0 the first token reads nothing of the text, nor do the far ones
  before, after = last({"kernel": jnp.zeros_like(kernel)})
  np.testing.assert_allclose(before, after, atol=1e-5)  # weights sum to 1 but for this
