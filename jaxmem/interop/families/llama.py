"""Llama, and its relatives Mistral, Qwen2 and Qwen3.

Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2 (Llama); Grattafiori et al.
2024, arXiv:2407.21783, section 3.2 (the scaling of rotary positions); Jiang et al.
2023, arXiv:2310.06825, section 2 (windows); Yang et al. 2024, arXiv:2407.10671,
section 2.2, and 2025, arXiv:2505.09388, section 2 (Qwen2 and 3).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.layouts import (
  Rule,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import (
  check_same,
  end_rules,
  layers_of,
  rope_parameters,
  rotary_options,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {
  "llama": "LlamaForCausalLM",
  "mistral": "MistralForCausalLM",
  "qwen2": "Qwen2ForCausalLM",
  "qwen3": "Qwen3ForCausalLM",
}
# What older versions of transformers wrote too.
_DERIVED = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(hidden_act="silu", mlp_bias=False, pretraining_tp=1)
  entries = [_entry(settings, kind) for kind in _layer_kinds(settings)]
  first, repeated, groups = folded(entries)
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"],
    first=first,
    pattern=repeated,
    num_groups=groups,
    norm_epsilon=settings["rms_norm_eps"],
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", False),
  )


def _layer_kinds(settings: Settings) -> list[str]:
  """The kind of each layer: "full_attention" or "sliding_attention"."""
  count = settings["num_hidden_layers"]
  if kinds := settings.get("layer_types"):
    if len(kinds) != count:
      raise DataError(f"{len(kinds)} layer_types for {count} num_hidden_layers")
    return list(kinds)
  kind = settings["model_type"]
  if kind == "mistral" and _mistral_window(settings):
    return ["sliding_attention"] * count
  if kind != "mistral" and settings.get("use_sliding_window", False):
    full = min(settings["max_window_layers"], count)
    return ["full_attention"] * full + ["sliding_attention"] * (count - full)
  return ["full_attention"] * count


def _mistral_window(settings: Settings) -> int:
  """The window of a Mistral: transformers' own where no key says it, 0 for null."""
  return settings.get("sliding_window", 0) if "sliding_window" in [*settings] else 4096


def _window(settings: Settings) -> int:
  """The window of a layer that has one."""
  if settings["model_type"] == "mistral":
    return _mistral_window(settings)
  return settings["sliding_window"]


def _entry(settings: Settings, layer_kind: str) -> Entry:
  """The entry of a layer."""
  kind, heads = settings["model_type"], settings["num_attention_heads"]
  options: dict[str, Any] = {
    "num_heads": heads,
    "num_kv_heads": settings.get("num_key_value_heads", heads),
    "head_dim": settings.get("head_dim", settings["hidden_size"] // heads),
    **rotary_options(settings),
  }
  if kind == "qwen2" or settings.get("attention_bias", False):
    options["use_bias"] = True
  if kind == "qwen2":
    options["out_bias"] = False
  if kind == "qwen3":
    options |= {"qk_norm": True, "qk_norm_epsilon": settings["rms_norm_eps"]}
  if layer_kind == "sliding_attention":
    return pattern.entry("window", window_size=_window(settings), **options)
  if layer_kind != "full_attention":
    raise DataError(f"a layer is {layer_kind!r}: only full and sliding attention")
  length = settings["max_position_embeddings"]
  return pattern.entry("attention", capacity=length, **options)


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  options = [dict(pattern.memory_of(entry).options) for entry in layers]
  window = next((o["window_size"] for o in options if "window_size" in o), None)
  lengths = [o["capacity"] for o in options if "capacity" in o]
  shared = options[0]
  heads = shared.get("num_heads", 4)
  kinds = [
    "sliding_attention" if "window_size" in o else "full_attention" for o in options
  ]
  settings: dict[str, Any] = {
    **shared_settings(config, _CLASSES[model_type], model_type),
    "num_attention_heads": heads,
    "num_key_value_heads": shared.get("num_kv_heads") or heads,
    "head_dim": shared.get("head_dim") or config.d_model // heads,
    "hidden_act": "silu",
    "max_position_embeddings": max(lengths, default=_LENGTH),
    "rms_norm_eps": config.norm_epsilon,
    "rope_parameters": rope_parameters(shared),
    "attention_bias": bool(shared.get("use_bias", False)),
  }
  if window or model_type == "mistral":  # without the key a Mistral has 4096
    settings["sliding_window"] = window
  if model_type.startswith("qwen"):
    settings |= {"use_sliding_window": bool(window), "layer_types": kinds}
    settings["max_window_layers"] = kinds.count("full_attention")
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


# A model of windows alone says no longest text.
_LENGTH = 32_768


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return end_rules(config, "model.embed_tokens", "model.norm")


def block_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors of a layer but those of its attention."""
  d, f, layer = config.d_model, config.d_ff or LM(config).d_ff, "model.layers.{}."
  return [
    Rule(f"{layer}input_layernorm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{layer}post_attention_layernorm.weight", "mlp_norm/scale", same(d)),
    Rule(f"{layer}mlp.gate_proj.weight", "mlp/gate/kernel", matrix(d, f)),
    Rule(f"{layer}mlp.up_proj.weight", "mlp/up/kernel", matrix(d, f)),
    Rule(f"{layer}mlp.down_proj.weight", "mlp/down/kernel", matrix(f, d)),
  ]


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, attention = config.d_model, "model.layers.{}.self_attn."
  mixer = pattern.mixer(entry, d, "float32")
  heads, (kv_heads, size) = mixer.num_heads, mixer._dims
  rules = block_rules(config)
  out = from_heads(heads, size, d)
  rules.append(Rule(f"{attention}o_proj.weight", "mixer/out/kernel", out))
  for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
    at, ours = f"{attention}{name}_proj", f"mixer/{name}"
    rules.append(Rule(f"{at}.weight", f"{ours}/kernel", to_heads(d, count, size)))
    if mixer.use_bias:
      rules.append(Rule(f"{at}.bias", f"{ours}/bias", of_heads(count, size)))
    if mixer.qk_norm and name != "v":
      norm = f"{attention}{name}_norm.weight"
      rules.append(Rule(norm, f"mixer/{name}_norm/scale", same(size)))
  if mixer.has_out_bias:
    rules.append(Rule(f"{attention}o_proj.bias", "mixer/out/bias", same(d)))
  return rules


FAMILY = Family(
  _CLASSES, to_config, to_settings, outer_rules, layer_rules, derived=_DERIVED
)
