"""Settings of recurrent models that no layer has are refused; sizes are kept."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError
from jaxmem.interop import pretrained
from jaxmem.interop.families import Settings, mamba2, xlstm
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import block, entry

pytest.importorskip("safetensors")
RECURRENT = ("falcon_mamba", "mamba", "mamba2", "recurrent_gemma", "xlstm")


def _settings(name, **changes):
  return json.loads((FOLDERS / name / "config.json").read_text()) | changes


def _config(name, **changes):
  settings = Settings(_settings(name, **changes), "config.json")
  families = pretrained.families()
  return families[settings["model_type"]].to_config(settings)


@pytest.mark.parametrize(
  "name, changes, message",
  [
    ("mamba2", {"head_dim": 9}, "head_dim 9: only 8"),
    ("mamba2", {"hidden_act": "gelu"}, "hidden_act 'gelu': only 'silu'"),
    ("mamba", {"intermediate_size": 47}, "intermediate_size 47: only 48"),
    ("recurrent_gemma", {"block_types": ["recurrent", "moe"]}, "has 'moe'"),
    ("recurrent_gemma", {"hidden_activation": "gelu"}, "only 'gelu_pytorch_tanh'"),
    ("recurrent_gemma", {"attention_window_size": None}, "no attention_window_size"),
    ("xlstm", {"use_bias": True}, "use_bias True: only False"),
    ("xlstm", {"weight_mode": "fused"}, "weight_mode 'fused': only 'single'"),
    ("xlstm", {"embedding_dim": 25}, "embedding_dim 25: only 24"),
    ("xlstm", {"gate_soft_cap": None}, "has no gate_soft_cap"),
  ],
)
def test_settings_that_no_layer_has_are_refused(name, changes, message):
  with pytest.raises(DataError, match=message):
    _config(name, **changes)


@pytest.mark.parametrize("limit", [[0.1, float("inf")], [0.0, 2.0], [0.25, 0.5]])
def test_bounds_of_the_time_step_are_written_as_they_were_read(limit):
  config = _config("mamba2", time_step_limit=limit)
  settings = json.loads(json.dumps(mamba2.to_settings(config, "mamba2")))
  assert mamba2.to_config(Settings(settings, "config.json")) == config


def test_a_layer_pattern_is_repeated_up_to_the_number_of_layers():
  config = _config("recurrent_gemma", num_hidden_layers=26)
  layers = config.first + config.pattern * config.num_groups
  assert [layer.name for layer in layers[:6]] == ["rglru", "rglru", "window"] * 2
  assert (len(layers), config.num_groups) == (26, 8)


@pytest.mark.parametrize("width", [24, 49, 100])
def test_sizes_of_xlstm_survive_the_factors_that_its_settings_have(width):
  for size in range(1, 3 * width):
    mixer = entry("mlstm", num_heads=1, key_dim=size, value_dim=2 * size)
    config = LMConfig(
      vocab_size=7, d_model=width, d_ff=size, pattern=(mixer,), tied=False,
      embedding_scale=1.0, logit_cap=30.0,
    )  # fmt: skip
    read = xlstm.to_config(Settings(xlstm.to_settings(config, "xlstm"), "config.json"))
    sizes = dict(read.pattern[0].options)
    assert (read.d_ff, sizes["key_dim"], sizes["value_dim"]) == (size, size, 2 * size)


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_model_of_blocks_that_the_family_has_not_is_not_written(tmp_path, kind):
  config = LMConfig(7, d_model=8, pattern=(block("gru"),))
  with pytest.raises(DataError, match="layer of the model|layer is 'gru/none'"):
    pretrained.save(tmp_path, config, {}, kind)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_model_in_bfloat16_answers_about_the_same_in_pieces(name):
  config, params = pretrained.read(FOLDERS / name, dtype="bfloat16")
  answers = np.load(FOLDERS / name / "answers.npz")
  tokens, model = jnp.asarray(answers["tokens"], jnp.int32), LM(config)
  apply = jax.jit(model.apply)

  state, pieces = model.init_state(len(tokens)), []
  with jax.numpy_dtype_promotion("standard"):  # flax's norms need it
    for piece in jnp.split(tokens, 2, axis=1):
      logits, state = apply({"params": params}, piece, state)
      pieces.append(logits)

  assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"bfloat16"}
  error = jnp.concatenate(pieces, 1) - answers["logits"]
  # the worst of transformers' own is 0.11, of its Mamba-2
  assert np.sqrt(np.mean(error**2) / np.mean(answers["logits"] ** 2)) < 0.11
