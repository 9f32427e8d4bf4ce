"""Settings of Gemma, GPT-2, GPT-NeoX and SmolLM3 that older folders have, or wrong."""

import json

import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError, UserError
from jaxmem.evaluation import exported
from jaxmem.interop.families import Settings, family_of
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig


def _config(folder, drop=(), **changed):
  """The config that the changed settings of a folder describe."""
  settings = json.loads((FOLDERS / folder / "config.json").read_text()) | changed
  for name in drop:
    del settings[name]
  return family_of(settings, "it")[1].to_config(Settings(settings, "it"))


def _options(config):
  layers = config.first + config.pattern * config.num_groups
  return [dict(layer.options) for layer in layers]


@pytest.mark.parametrize(
  "folder, changed, message",
  [
    ("gemma", {"hidden_act": "silu"}, "hidden_act 'silu': only 'gelu_pytorch_tanh'"),
    ("gemma2", {"layer_types": ["full_attention"]}, "1 layer_types for 5"),
    ("gemma2", {"use_bidirectional_attention": True}, "bidirectional_attention True"),
    ("gemma3", {"attn_logit_softcapping": 9.0}, "attn_logit_softcapping 9.0"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx True"),
    ("gpt2", {"activation_function": "relu"}, "'relu': only 'gelu_new'"),
    ("gpt_neox", {"hidden_act": "silu"}, "hidden_act 'silu': only 'gelu'"),
    (
      "gpt_neox",
      {"rope_parameters": {"partial_rotary_factor": 0.4}},
      "0.4 of a head of 8 channels is 3: positions rotate pairs",
    ),
    ("smollm3", {"no_rope_layers": [1]}, "5 layer_types and 1 no_rope_layers for 5"),
    ("smollm3", {"layer_types": 5 * ["sliding_attention"]}, "use_sliding_window is fa"),
  ],
)
def test_models_that_the_layers_cannot_be_are_refused(folder, changed, message):
  with pytest.raises(DataError, match=message):
    _config(folder, **changed)


def test_settings_of_older_folders_are_read():
  assert _config("gemma", hidden_act="gelu") == _config("gemma")
  new = _config(
    "gemma2", ("layer_types", "attn_logit_softcapping", "final_logit_softcapping")
  )
  assert new.logit_cap == 30.0 and _options(new)[1]["logit_cap"] == 50.0
  assert _config("gemma2", final_logit_softcapping=None).logit_cap == 0.0
  old = _config(
    "gemma3",
    ("layer_types", "rope_parameters"),
    rope_scaling={"rope_type": "linear", "factor": 4.0},
    rope_theta=300.0,
    rope_local_base_freq=20.0,
  )
  assert old == _config("gemma3")
  rope = {"rotary_pct": 0.5, "rotary_emb_base": 50}
  assert _config("gpt_neox", ("rope_parameters",), **rope) == _config("gpt_neox")
  bare = ("no_rope_layers", "layer_types", "rope_parameters")
  assert _config("smollm3", bare) == _config("smollm3")
  assert [o["rotary_base"] for o in _options(_config("smollm3"))] == [
    *3 * [2e6], None, 2e6,
  ]  # fmt: skip


def test_a_model_of_no_family_fits_none():
  for text in ("gru", "window:num_heads=3", "attention/gelu", "sum(window,gru)"):
    config = LMConfig(vocab_size=9, d_model=24, pattern=pattern.parse(text))
    with pytest.raises(UserError, match="is none of the"):
      exported.fitting(config)
  norms = {"norm": "layer", "embedding_scale": 1.0}
  layer = pattern.entry("attention", num_heads=2, rotary_base=None, use_bias=True)
  config = LMConfig(
    vocab_size=9,
    d_model=16,
    pattern=(layer,),
    positions=2048,
    mlp="gelu:approximate=True",
    norm_epsilon=1e-5,
    **norms,
  )
  assert exported.fitting(config) == "gpt2"
