"""Gemma, Gemma 2 and the text part of Gemma 3.

Source: Gemma Team 2024, arXiv:2403.08295, section 2 (Gemma), and arXiv:2408.00118,
section 2 (Gemma 2: norms on both sides of a layer, windows in every other layer, soft
caps); 2025, arXiv:2503.19786, section 2 (Gemma 3: norms of queries and keys, five
windows to one full layer, positions that differ between them).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Item, Settings, folded, llama
from jaxmem.interop.layouts import Rule, same
from jaxmem.interop.lm_settings import (
  check_same,
  layers_of,
  rope_parameters,
  rotary_options,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Block, Entry

_CLASSES = {
  "gemma": "GemmaForCausalLM",
  "gemma2": "Gemma2ForCausalLM",
  "gemma3_text": "Gemma3ForCausalLM",
}
_FULL, _WINDOW = "full_attention", "sliding_attention"
# The soft caps where the settings of Gemma 2 leave them out; null is no cap.
_SCORE_CAP, _LOGIT_CAP = 50.0, 30.0
# What the scores of Gemma 2 and 3 are scaled by the root of, where nothing says it.
_SIZE = 256
# Of the rotary positions of Gemma 3, where its settings have none.
_BASES = {_FULL: ("rope_theta", 1e6), _WINDOW: ("rope_local_base_freq", 1e4)}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  kind = settings["model_type"]
  settings.require(use_bidirectional_attention=False)
  # released Gemmas say "gelu" and mean its form by tanh
  tanh = ("gelu_pytorch_tanh", "gelu") if kind == "gemma" else ("gelu_pytorch_tanh",)
  name = "hidden_act" if kind == "gemma" else "hidden_activation"
  if settings.get(name, tanh[0]) not in tanh:
    settings.require(**{name: tanh[0]})
  if kind == "gemma3_text":
    settings.require(attn_logit_softcapping=None)  # which transformers ignores there
  first, repeated, groups = folded([_entry(settings, k) for k in _kinds(settings)])
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"],
    first=first,
    pattern=repeated,
    num_groups=groups,
    mlp="geglu",
    norm_epsilon=settings["rms_norm_eps"],
    norm_offset=1.0,
    norm_position="pre" if kind == "gemma" else "sandwich",
    logit_cap=_cap(settings, "final_logit_softcapping", _LOGIT_CAP) or 0.0,
    tied=settings.get("tie_word_embeddings", True),
  )


def _cap(settings: Settings, name: str, default: float) -> float | None:
  """A soft cap; a null is no cap, and only Gemma 2 has one by default."""
  if name in list(settings) or settings["model_type"] != "gemma2":
    return settings.get(name)
  return default


def _kinds(settings: Settings) -> list[str]:
  """The kind of each layer."""
  count = settings["num_hidden_layers"]
  period = {"gemma": 1, "gemma2": 2, "gemma3_text": 6}[settings["model_type"]]
  if period > 2:
    period = settings.get("sliding_window_pattern", period)
  kinds = settings.get("layer_types") if period > 1 else None
  kinds = kinds or [_WINDOW if i % period else _FULL for i in range(1, count + 1)]
  if len(kinds) != count:
    raise DataError(f"{len(kinds)} layer_types for {count} num_hidden_layers")
  return kinds


def _entry(settings: Settings, layer_kind: str) -> Entry:
  """The entry of a layer."""
  kind, heads = settings["model_type"], settings["num_attention_heads"]
  options: dict[str, Any] = {
    "num_heads": heads,
    "num_kv_heads": settings.get("num_key_value_heads", heads),
    "head_dim": settings["head_dim"],
    "use_bias": settings.get("attention_bias", False),
    **rotary_options(_of_kind(settings, layer_kind)),
  }
  size = settings.get("query_pre_attn_scalar", _SIZE)
  if kind != "gemma" and size != options["head_dim"]:
    options["query_scale"] = size**-0.5
  if kind == "gemma2":
    options["logit_cap"] = _cap(settings, "attn_logit_softcapping", _SCORE_CAP)
  if kind == "gemma3_text":
    options |= {"qk_norm": True, "qk_norm_epsilon": settings["rms_norm_eps"]}
    options["qk_norm_offset"] = 1.0
  if layer_kind == _WINDOW:
    return pattern.entry("window", window_size=settings["sliding_window"], **options)
  if layer_kind != _FULL:
    raise DataError(f"a layer is {layer_kind!r}: only {_FULL} and {_WINDOW}")
  return pattern.entry(
    "attention", capacity=settings["max_position_embeddings"], **options
  )


def _of_kind(settings: Settings, layer_kind: str) -> Settings:
  """The settings with the rotary positions that layers of a kind have."""
  if settings["model_type"] != "gemma3_text":
    return settings
  ropes = settings.get("rope_parameters", {})
  rope = dict(ropes.get(layer_kind) or {})
  if layer_kind == _FULL and not ropes:
    rope |= settings.get("rope_scaling", {})
  name, base = _BASES[layer_kind]
  rope.setdefault("rope_theta", settings.get(name, base))
  return settings.replaced(rope_parameters=rope)


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  options = [_options(entry, config.d_model) for entry in layers]
  kinds = [_WINDOW if "window_size" in o else _FULL for o in options]
  by_kind = dict(zip(kinds, options, strict=True))
  shared = options[0]
  settings: dict[str, Any] = {
    **shared_settings(config, _CLASSES[model_type], model_type),
    "num_attention_heads": shared["num_heads"],
    "num_key_value_heads": shared["num_kv_heads"] or shared["num_heads"],
    "head_dim": shared["head_dim"] or config.d_model // shared["num_heads"],
    "attention_bias": shared["use_bias"],
    "max_position_embeddings": by_kind.get(_FULL, {}).get("capacity", _LENGTH),
    "rms_norm_eps": config.norm_epsilon,
    "rope_parameters": rope_parameters(shared),
    "pad_token_id": None,  # with transformers' own the id 0 has no gradient
  }
  name = "hidden_act" if model_type == "gemma" else "hidden_activation"
  settings[name] = "gelu_pytorch_tanh"
  if model_type != "gemma":
    # a whole number, in transformers too: another scale is refused below
    scale = shared["query_scale"]
    size = round(scale**-2) if scale else settings["head_dim"]
    settings["query_pre_attn_scalar"] = size
    settings["layer_types"] = kinds
    settings["final_logit_softcapping"] = config.logit_cap or None
    settings["attn_logit_softcapping"] = shared["logit_cap"]
    settings["sliding_window"] = by_kind.get(_WINDOW, {}).get("window_size", 4096)
  if model_type == "gemma3_text":
    settings["rope_parameters"] = {k: rope_parameters(o) for k, o in by_kind.items()}
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def _options(entry: Item, d_model: int) -> dict[str, Any]:
  """All options of a layer of attention.

  Raises:
    DataError: if it is another layer.
  """
  if isinstance(entry, Block) or entry.name not in ("attention", "window"):
    raise DataError(f"a layer is {str(entry)!r}: a Gemma has attention and windows")
  mixer = pattern.mixer(entry, d_model, "float32")
  return {name: getattr(mixer, name) for name in pattern.options(entry.name)}


# A model of windows alone says no longest text.
_LENGTH = 8192

# Where Gemma 2 and 3 have the four norms of a layer.
_NORMS = {
  "input_layernorm": "mixer_norm",
  "post_attention_layernorm": "mixer_out_norm",
  "pre_feedforward_layernorm": "mlp_norm",
  "post_feedforward_layernorm": "mlp_out_norm",
}


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  rules = llama.layer_rules(config, entry)
  if config.norm_position == "pre":
    return rules
  norms = [
    Rule(f"model.layers.{{}}.{theirs}.weight", f"{ours}/scale", same(config.d_model))
    for theirs, ours in _NORMS.items()
  ]
  return norms + [r for r in rules if not r.name.endswith("layernorm.weight")]


FAMILY = Family(_CLASSES, to_config, to_settings, llama.outer_rules, layer_rules)
