"""Mamba-2.

Source: Dao and Gu 2024, arXiv:2405.21060, section 7.1. Its names are those of
transformers.
"""

import math
from typing import Any

from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.layouts import (
  Rule,
  conv_taps,
  divided,
  matrix,
  of_heads,
  same,
)
from jaxmem.interop.lm_settings import (
  check_same,
  end_rules,
  options_of,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"mamba2": "Mamba2ForCausalLM"}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  width = settings.get("expand", 2) * settings["hidden_size"]
  heads = settings["num_heads"]
  settings.require(hidden_act="silu", head_dim=width // heads)
  entry = pattern.entry(
    "mamba2",
    num_heads=heads,
    num_groups=settings.get("n_groups", 8),
    state_dim=settings["state_size"],
    expand=settings.get("expand", 2),
    conv_size=settings.get("conv_kernel", 4),
    norm_epsilon=settings["layer_norm_epsilon"],
    use_bias=settings.get("use_bias", False),
    conv_bias=settings.get("use_conv_bias", True),
    **_limits(settings),
  )
  return lm_config(settings, entry, tied=False)


def lm_config(settings: Settings, entry: Entry, tied: bool) -> LMConfig:
  """Returns the config of a model whose layers are mixers, without MLPs.

  Args:
    settings: of the model.
    entry: of every layer.
    tied: whether the head is the embedding, where the settings do not say it.
  """
  first, repeated, groups = folded([entry] * settings["num_hidden_layers"])
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    first=first,
    pattern=repeated,
    num_groups=groups,
    mlp="none",
    norm_epsilon=settings["layer_norm_epsilon"],
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", tied),
  )


def _limits(settings: Settings) -> dict[str, Any]:
  """The bounds of the time step, of which the second may be infinite."""
  shortest, longest = settings.get("time_step_limit", (0.0, math.inf))
  # JSON has no infinity: transformers 5 writes {"__float__": "Infinity"} for it
  longest = float(longest["__float__"] if isinstance(longest, dict) else longest)
  bound = None if math.isinf(longest) else longest
  return {"shortest_step": float(shortest), "longest_step": bound}


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  options = options_of(config, "mamba2")
  heads, expand = options["num_heads"], options["expand"]
  settings: dict[str, Any] = lm_settings(config, _CLASSES, model_type) | {
    "state_size": options["state_dim"],
    "num_heads": heads,
    "head_dim": expand * config.d_model // heads,
    "n_groups": options["num_groups"],
    "expand": expand,
    "conv_kernel": options["conv_size"],
    "use_bias": options["use_bias"],
    "use_conv_bias": options["conv_bias"],
  }
  shortest, longest = options["shortest_step"], options["longest_step"]
  if shortest or longest is not None:  # else left out, which means no bounds
    infinite = {"__float__": "Infinity"}
    settings["time_step_limit"] = [shortest, infinite if longest is None else longest]
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def lm_settings(
  config: LMConfig, classes: dict[str, str], model_type: str
) -> dict[str, Any]:
  """Returns the settings that models of Mamba share.

  Args:
    config: of the model.
    classes: model type -> its class.
    model_type: of the settings.
  """
  shared = shared_settings(config, classes[model_type], model_type)
  del shared["intermediate_size"]  # there is no MLP
  return shared | {
    "layer_norm_epsilon": config.norm_epsilon,
    "hidden_act": "silu",
    "residual_in_fp32": True,
  }


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return end_rules(config, "backbone.embeddings", "backbone.norm_f")


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  mixer, d = pattern.mixer(entry, config.d_model, "float32"), config.d_model
  width, heads, groups = mixer._width, mixer.num_heads, mixer.num_groups
  convolved = width + 2 * groups * mixer.state_dim
  layer, at = "backbone.layers.{}.", "backbone.layers.{}.mixer."
  parts = {"gate": width, "xbc": convolved, "dt": heads}
  kernels = {f"mixer/{name}/kernel": matrix(d, n) for name, n in parts.items()}
  taps, norm = conv_taps(convolved, mixer.conv_size), of_heads(groups, width // groups)
  rules = [
    Rule(f"{layer}norm.weight", "mixer_norm/scale", same(d)),
    *divided(f"{at}in_proj.weight", kernels),
    Rule(f"{at}conv1d.weight", "mixer/conv/taps", taps),
    Rule(f"{at}A_log", "mixer/rate", same(heads)),
    Rule(f"{at}dt_bias", "mixer/step", same(heads)),
    Rule(f"{at}D", "mixer/skip", same(heads)),
    Rule(f"{at}norm.weight", "mixer/norm/scale", norm),
    Rule(f"{at}out_proj.weight", "mixer/out/kernel", matrix(width, d)),
  ]
  if mixer.conv_bias:
    rules.append(Rule(f"{at}conv1d.bias", "mixer/conv/bias", same(convolved)))
  if mixer.use_bias:
    biases = {f"mixer/{name}/bias": same(n) for name, n in parts.items()}
    rules += divided(f"{at}in_proj.bias", biases)
    rules.append(Rule(f"{at}out_proj.bias", "mixer/out/bias", same(d)))
  return rules


FAMILY = Family(
  _CLASSES, to_config, to_settings, outer_rules, layer_rules, prefix="backbone."
)
