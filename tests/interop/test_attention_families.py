"""Settings of Gemma, GPT-2, GPT-NeoX and SmolLM3 that older folders have, or wrong."""

import json

import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError
from jaxmem.interop.families import Settings, family_of


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
