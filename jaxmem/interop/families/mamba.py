"""Mamba, and Falcon-Mamba, which norms what the time step, B and C are read from.

Source: Gu and Dao 2023, arXiv:2312.00752, section 3.4 (Mamba); Zuo et al. 2024,
arXiv:2410.05355, section 2.2 (Falcon-Mamba). Its names are those of transformers.
"""

from typing import Any

from jaxmem.interop.families import Family, Settings
from jaxmem.interop.families.mamba2 import lm_config, lm_settings, outer_rules
from jaxmem.interop.layouts import (
  Rule,
  conv_taps,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import check_same, options_of
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"mamba": "MambaForCausalLM", "falcon_mamba": "FalconMambaForCausalLM"}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  width, expand = settings["hidden_size"], settings.get("expand", 2)
  settings.require(hidden_act="silu", intermediate_size=expand * width)
  rank = settings.get("time_step_rank", "auto")
  options: dict[str, Any] = {
    "expand": expand,
    "state_size": settings["state_size"],
    "step_rank": -(-width // 16) if rank == "auto" else rank,
    "conv_size": settings.get("conv_kernel", 4),
    "use_bias": settings.get("use_bias", False),
    "conv_bias": settings.get("use_conv_bias", True),
  }
  if settings["model_type"] == "falcon_mamba":
    epsilon = settings.get("mixer_rms_eps", 1e-6)
    options |= {"read_norm": True, "read_norm_epsilon": epsilon}
  return lm_config(settings, pattern.entry("mamba", **options), tied=True)


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  options = options_of(config, "mamba")
  settings: dict[str, Any] = lm_settings(config, _CLASSES, model_type) | {
    "state_size": options["state_size"],
    "expand": options["expand"],
    "intermediate_size": options["expand"] * config.d_model,
    "time_step_rank": options["step_rank"] or -(-config.d_model // 16),
    "conv_kernel": options["conv_size"],
    "use_bias": options["use_bias"],
    "use_conv_bias": options["conv_bias"],
  }
  if model_type == "falcon_mamba":
    settings["mixer_rms_eps"] = options["read_norm_epsilon"]
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  mixer, d = pattern.mixer(entry, config.d_model, "float32"), config.d_model
  width, size = mixer._width, mixer.state_size
  rank = mixer.step_rank or -(-d // 16)
  layer, at = "backbone.layers.{}.", "backbone.layers.{}.mixer."
  rules = [
    Rule(f"{layer}norm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{at}in_proj.weight", "mixer/in/kernel", to_heads(d, 2, width)),
    Rule(f"{at}conv1d.weight", "mixer/conv/taps", conv_taps(width, mixer.conv_size)),
    Rule(f"{at}x_proj.weight", "mixer/read/kernel", matrix(width, rank + 2 * size)),
    Rule(f"{at}dt_proj.weight", "mixer/step_kernel", matrix(rank, width)),
    Rule(f"{at}dt_proj.bias", "mixer/step", same(width)),
    Rule(f"{at}A_log", "mixer/rate", matrix(size, width)),
    Rule(f"{at}D", "mixer/skip", same(width)),
    Rule(f"{at}out_proj.weight", "mixer/out/kernel", matrix(width, d)),
  ]
  if mixer.conv_bias:
    rules.append(Rule(f"{at}conv1d.bias", "mixer/conv/bias", same(width)))
  if mixer.use_bias:
    rules.append(Rule(f"{at}in_proj.bias", "mixer/in/bias", of_heads(2, width)))
    rules.append(Rule(f"{at}out_proj.bias", "mixer/out/bias", same(d)))
  return rules


FAMILY = Family(
  _CLASSES, to_config, to_settings, outer_rules, layer_rules, prefix="backbone."
)
