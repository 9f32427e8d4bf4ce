"""The memories of flash-linear-attention: their settings, and the tensors of each.

Source: https://github.com/fla-org/flash-linear-attention (names and settings); for the
memories see their files in `jaxmem.mixers`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxmem.interop.families import Settings
from jaxmem.interop.layouts import (
  Rule,
  conv_taps,
  from_heads,
  joined,
  matrix,
  of_heads,
  same,
  to_heads,
)

_AT = "model.layers.{}.attn."
# The rank of the map to the gates of GLA, which its settings do not say.
_GATE_RANK = 16
# HGRN2's norm of all heads has this epsilon, whatever the settings say.
_HGRN2_EPSILON = 1e-5


class Memory(NamedTuple):
  """How a memory is described.

  Attributes:
    model_class: the class of fla.
    mixer: our name of the layer.
    required: settings that must have these values, or be left out.
    options: the settings and the width -> options of the layer.
    settings: the layer and the width -> the settings.
    rules: the layer and the width -> the tensors of a layer, but for its two norms and
      its MLP.
  """

  model_class: str
  mixer: str
  required: dict[str, Any]
  options: Callable[[Settings, int], dict[str, Any]]
  settings: Callable[[Any, int], dict[str, Any]]
  rules: Callable[[Any, int], list[Rule]]


def _gated_delta_options(settings: Settings, d: int) -> dict[str, Any]:
  del d
  heads, key = settings["num_heads"], settings["head_dim"]
  return {
    "num_heads": settings.get("num_v_heads", heads),
    "num_key_heads": heads,
    "key_dim": key,
    "value_dim": int(key * settings["expand_v"]),  # as fla rounds
    "conv_size": settings["conv_size"],
    "negative_eigenvalues": settings.get("allow_neg_eigval", False),
  }


def _gated_delta_settings(mixer: Any, d: int) -> dict[str, Any]:
  del d
  heads, key, value = mixer._dims
  return {
    "num_heads": mixer._key_heads,
    "num_v_heads": heads,
    "head_dim": key,
    "expand_v": value / key,
    "conv_size": mixer.conv_size,
    "allow_neg_eigval": mixer.negative_eigenvalues,
  }


def _sizes(settings: Settings, d: int) -> dict[str, Any]:
  """The sizes of heads, as shares of the width."""
  heads = settings["num_heads"]
  names = {"key_dim": "expand_k", "value_dim": "expand_v"}
  sizes = {ours: round(d * settings[theirs]) for ours, theirs in names.items()}
  return {"num_heads": heads} | {name: size // heads for name, size in sizes.items()}


def _shares(mixer: Any, d: int) -> dict[str, Any]:
  """Undoes `_sizes`."""
  heads, key, value = mixer._dims
  shares = {"expand_k": heads * key / d, "expand_v": heads * value / d}
  return {"num_heads": heads} | shares


def _delta_options(settings: Settings, d: int) -> dict[str, Any]:
  return _sizes(settings, d) | {
    "conv_size": settings["conv_size"],
    "negative_eigenvalues": settings.get("allow_neg_eigval", False),
  }


def _delta_settings(mixer: Any, d: int) -> dict[str, Any]:
  return _shares(mixer, d) | {
    "conv_size": mixer.conv_size,
    "allow_neg_eigval": mixer.negative_eigenvalues,
  }


def _delta_rules(mixer: Any, d: int) -> list[Rule]:
  """The tensors of a delta rule: ours has q, k and v in one, fla in three."""
  heads, _, value = mixer._dims
  widths = dict(zip("qkv", mixer._widths, strict=True))
  projections = {f"{_AT}{n}_proj.weight": matrix(d, w) for n, w in widths.items()}
  size = mixer.conv_size
  taps = {f"{_AT}{n}_conv1d.weight": conv_taps(w, size) for n, w in widths.items()}
  return [
    *joined("mixer/qkv/kernel", projections, axis=1),
    *joined("mixer/conv/taps", taps, axis=1),
    Rule(f"{_AT}b_proj.weight", "mixer/write/kernel", matrix(d, heads)),
    Rule(f"{_AT}o_norm.weight", "mixer/norm/scale", same(value)),
    Rule(f"{_AT}o_proj.weight", "mixer/out/kernel", from_heads(heads, value, d)),
  ]


def _gated_delta_rules(mixer: Any, d: int) -> list[Rule]:
  heads, _, value = mixer._dims
  return [
    *_delta_rules(mixer, d),
    Rule(f"{_AT}a_proj.weight", "mixer/decay/kernel", matrix(d, heads)),
    Rule(f"{_AT}A_log", "mixer/rate", same(heads)),
    Rule(f"{_AT}dt_bias", "mixer/step", same(heads)),
    Rule(f"{_AT}g_proj.weight", "mixer/gate/kernel", to_heads(d, heads, value)),
  ]


def _kda_options(settings: Settings, d: int) -> dict[str, Any]:
  # the ranks of its low-rank maps are V in fla and K and V in ours
  settings.require(expand_v=1.0)
  return _gated_delta_options(settings, d) | {"gate_bias": True}


def _kda_rules(mixer: Any, d: int) -> list[Rule]:
  heads, key, value = mixer._dims
  return [
    *_delta_rules(mixer, d),
    Rule(f"{_AT}A_log", "mixer/rate", same(heads)),
    Rule(f"{_AT}dt_bias", "mixer/step", of_heads(heads, key)),
    Rule(f"{_AT}f_proj.0.weight", "mixer/decay_in/kernel", matrix(d, key)),
    Rule(f"{_AT}f_proj.1.weight", "mixer/decay/kernel", to_heads(key, heads, key)),
    Rule(f"{_AT}g_proj.0.weight", "mixer/gate_in/kernel", matrix(d, value)),
    Rule(f"{_AT}g_proj.1.weight", "mixer/gate/kernel", to_heads(value, heads, value)),
    Rule(f"{_AT}g_proj.1.bias", "mixer/gate/bias", of_heads(heads, value)),
  ]


def _gla_options(settings: Settings, d: int) -> dict[str, Any]:
  heads = settings["num_heads"]
  settings.require(num_kv_heads=heads)
  return _sizes(settings, d) | {"gate_rank": _GATE_RANK, "temperature": 16.0}


def _gla_rules(mixer: Any, d: int) -> list[Rule]:
  (heads, key, _), rank = mixer._dims, mixer.gate_rank
  return [
    *_retention_rules(mixer, d),
    Rule(f"{_AT}gk_proj.0.weight", "mixer/decay_in/kernel", matrix(d, rank)),
    Rule(f"{_AT}gk_proj.1.weight", "mixer/decay/kernel", to_heads(rank, heads, key)),
    Rule(f"{_AT}gk_proj.1.bias", "mixer/decay/bias", of_heads(heads, key)),
  ]


def _retention_rules(mixer: Any, d: int) -> list[Rule]:
  heads, key, value = mixer._dims
  norm = f"{_AT}g_norm_swish_gate.weight"
  sizes = {"q": key, "k": key, "v": value, "g": value}
  names = {"g": "gate"}
  return [
    *(
      Rule(
        f"{_AT}{n}_proj.weight",
        f"mixer/{names.get(n, n)}/kernel",
        to_heads(d, heads, size),
      )
      for n, size in sizes.items()
    ),
    Rule(norm, "mixer/norm/scale", same(value)),
    Rule(f"{_AT}o_proj.weight", "mixer/out/kernel", from_heads(heads, value, d)),
  ]


def _retention_options(settings: Settings, d: int) -> dict[str, Any]:
  settings.require(num_kv_heads=settings["num_heads"])
  return _sizes(settings, d) | {"norm": "rms"}


def _hgrn2_options(settings: Settings, d: int) -> dict[str, Any]:
  key = settings.get("expand_ratio") or d // settings["num_heads"]
  heads = d // key
  sizes = {"num_heads": heads, "key_dim": key, "value_dim": d // heads}
  return sizes | {"norm_epsilon": _HGRN2_EPSILON}


def _hgrn2_settings(mixer: Any, d: int) -> dict[str, Any]:
  del d
  heads, key, _ = mixer._dims
  return {"num_heads": heads, "expand_ratio": key}


def _hgrn2_rules(mixer: Any, d: int) -> list[Rule]:
  heads, key, value = mixer._dims
  at = {"q": ("q", key), "f": ("forget", key), "i": ("v", value)}
  return [
    *(
      Rule(f"{_AT}{n}_proj.weight", f"mixer/{path}/kernel", to_heads(d, heads, size))
      for n, (path, size) in at.items()
    ),
    Rule(f"{_AT}g_norm.weight", "mixer/norm/scale", same(heads * value)),
    Rule(f"{_AT}o_proj.weight", "mixer/out/kernel", matrix(heads * value, d)),
  ]


MEMORIES = {
  "gated_deltanet": Memory(
    "GatedDeltaNetForCausalLM",
    "gated_delta",
    {"use_gate": True, "use_short_conv": True, "output_gate_activation": "swish"},
    _gated_delta_options,
    _gated_delta_settings,
    _gated_delta_rules,
  ),
  "kda": Memory(
    "KDAForCausalLM",
    "kda",
    {"use_short_conv": True, "safe_gate": False, "lower_bound": None},
    _kda_options,
    _gated_delta_settings,
    _kda_rules,
  ),
  "delta_net": Memory(
    "DeltaNetForCausalLM",
    "delta_net",
    {"use_gate": False, "use_short_conv": True, "use_beta": True}
    | {"qk_norm": "l2", "qk_activation": "silu"},
    _delta_options,
    _delta_settings,
    _delta_rules,
  ),
  "gla": Memory(
    "GLAForCausalLM",
    "gla",
    {"use_short_conv": False, "use_output_gate": True, "feature_map": None}
    | {"clamp_min": None, "elementwise_affine": True, "fuse_norm": True},
    _gla_options,
    _shares,
    _gla_rules,
  ),
  "retnet": Memory(
    "RetNetForCausalLM",
    "retention",
    {"use_short_conv": False, "use_output_gate": True, "feature_map": None}
    | {"elementwise_affine": True, "fuse_norm": True},
    _retention_options,
    _shares,
    _retention_rules,
  ),
  "hgrn2": Memory(
    "HGRN2ForCausalLM",
    "hgrn2",
    # the bounds are learned together by all layers, which a layer here cannot
    {"use_lower_bound": False, "use_short_conv": False, "elementwise_affine": True},
    _hgrn2_options,
    _hgrn2_settings,
    _hgrn2_rules,
  ),
}
