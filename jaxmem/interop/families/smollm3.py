"""SmolLM3, a Llama in which some layers have no positions.

Source: https://huggingface.co/blog/smollm3, and Yang et al. 2025, arXiv:2501.18795,
section 3 (layers without positions).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings, folded, llama
from jaxmem.interop.lm_settings import (
  check_same,
  layers_of,
  rope_parameters,
  rotary_options,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry

_FULL, _WINDOW = "full_attention", "sliding_attention"
# One layer of so many has no positions, and the base of the others'.
_INTERVAL, _BASE = 4, 2e6


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(hidden_act="silu", mlp_bias=False)
  count = settings["num_hidden_layers"]
  every = settings.get("no_rope_layer_interval", _INTERVAL)
  rotated = settings.get("no_rope_layers") or [i % every for i in range(1, count + 1)]
  window = settings.get("use_sliding_window", False) and settings.get("sliding_window")
  kinds = settings.get("layer_types") or [
    _WINDOW if window and not positions else _FULL for positions in rotated
  ]
  if len(kinds) != count or len(rotated) < count:
    raise DataError(
      f"{len(kinds)} layer_types and {len(rotated)} no_rope_layers for {count} "
      "num_hidden_layers"
    )
  layers = zip(kinds, rotated, strict=False)
  first, repeated, groups = folded(
    [_entry(settings, kind, bool(positions)) for kind, positions in layers]
  )
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"],
    first=first,
    pattern=repeated,
    num_groups=groups,
    norm_epsilon=settings["rms_norm_eps"],
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", True),
  )


def _entry(settings: Settings, kind: str, positions: bool) -> Entry:
  """The entry of a layer."""
  heads = settings["num_attention_heads"]
  rope = dict(settings.get("rope_parameters", settings.get("rope_scaling", {})))
  rope.setdefault("rope_theta", settings.get("rope_theta", _BASE))
  rotary = rotary_options(settings.replaced(rope_parameters=rope))
  options: dict[str, Any] = {
    "num_heads": heads,
    "num_kv_heads": settings.get("num_key_value_heads", heads),
    "head_dim": settings.get("head_dim", settings["hidden_size"] // heads),
    "use_bias": settings.get("attention_bias", False),
    **(rotary if positions else {"rotary_base": None}),
  }
  if kind == _WINDOW and settings.get("use_sliding_window", False):
    return pattern.entry("window", window_size=settings["sliding_window"], **options)
  if kind != _FULL:
    raise DataError(f"a layer is {kind!r} and use_sliding_window is false")
  length = settings["max_position_embeddings"]
  return pattern.entry("attention", capacity=length, **options)


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  options = [dict(pattern.memory_of(entry).options) for entry in layers]
  rotated = [o.get("rotary_base", 1.0) is not None for o in options]
  with_positions = next((o for o, r in zip(options, rotated, strict=True) if r), {})
  window = next((o["window_size"] for o in options if "window_size" in o), None)
  heads = options[0].get("num_heads", 4)
  settings = {
    **shared_settings(config, "SmolLM3ForCausalLM", model_type),
    "num_attention_heads": heads,
    "num_key_value_heads": options[0].get("num_kv_heads") or heads,
    "head_dim": options[0].get("head_dim") or config.d_model // heads,
    "attention_bias": bool(options[0].get("use_bias", False)),
    "hidden_act": "silu",
    "max_position_embeddings": max(o.get("capacity", 0) for o in options) or _LENGTH,
    "rms_norm_eps": config.norm_epsilon,
    "rope_parameters": rope_parameters(with_positions),
    "no_rope_layers": [int(positions) for positions in rotated],
    "layer_types": [_WINDOW if "window_size" in o else _FULL for o in options],
    "use_sliding_window": window is not None,
    "sliding_window": window,
    "pad_token_id": None,  # transformers' own is outside of a small vocabulary
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


# A model of windows alone says no longest text.
_LENGTH = 32_768

FAMILY = Family(
  {"smollm3": "SmolLM3ForCausalLM"},
  to_config,
  to_settings,
  llama.outer_rules,
  llama.layer_rules,
)
