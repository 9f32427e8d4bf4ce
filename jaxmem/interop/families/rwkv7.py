"""RWKV-7, by the names of flash-linear-attention.

The layers after the first mix their values with those of the first. What the released
`.pth` files hold has other names, and is pickled.

Source: Peng et al. 2025, arXiv:2503.14456, section 4.
"""

import math
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.layouts import Layout, Rule, matrix, of_heads, same
from jaxmem.interop.lm_settings import (
  check_layers,
  check_same,
  layers_of,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"rwkv7": "RWKV7ForCausalLM"}
# The ranks of the low-rank maps: fla's name -> option of the layer.
_RANKS = {
  "decay_low_rank_dim": "decay_rank",
  "a_low_rank_dim": "rate_rank",
  "gate_low_rank_dim": "gate_rank",
}
# Of each map: fla's name -> that of the first matrix, the second, and the bias.
_MAPS = {
  "w": ("w_in", "w", "decay"),
  "a": ("a_in", "a", "rate"),
  "g": ("g_in", "g", None),
  "v": ("value_share_in", "value_share", "value_share_bias"),
}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  width, count = settings["hidden_size"], settings["num_hidden_layers"]
  settings.require(hidden_act="sqrelu")
  if settings.get("attn") is not None:
    raise DataError("attn: layers of attention between those of RWKV-7 are not read")
  values = settings.get("value_dim", width)
  if values not in (width, [width] * count):
    raise DataError(f"value_dim {values!r}: only hidden_size ({width}) can be read")
  size = settings.get("head_dim") or width // settings["num_heads"]
  options = {ours: settings[theirs] for theirs, ours in _RANKS.items()}
  options |= {"num_heads": width // size, "norm_epsilon": settings["norm_eps"]}
  rank = settings["v_low_rank_dim"]
  later = pattern.entry("rwkv7", **options, value_residual=True, value_rank=rank)
  layers = [pattern.entry("rwkv7", **options), *[later] * (count - 1)]
  first, repeated, groups = folded(layers)
  up = int(width * settings.get("hidden_ratio", 4))
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=width,
    d_ff=settings.get("intermediate_size", -(-up // 32) * 32),
    first=first,
    pattern=repeated,
    num_groups=groups,
    mlp="rwkv_channel_mix",
    norm="layer",
    norm_epsilon=settings["norm_eps"],
    norm_bias=settings.get("norm_bias", True),
    embedding_scale=1.0,
    embedding_norm=settings.get("norm_first", True),
    tied=settings.get("tie_word_embeddings", False),
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  check_layers(config, "rwkv7", model_type)
  first, last = (pattern.mixer(layers[i], config.d_model, "float32") for i in (0, -1))
  settings = {
    **shared_settings(config, _CLASSES[model_type], model_type),
    "head_dim": first._head_dim,
    "num_heads": first.num_heads,
    "value_dim": [config.d_model] * len(layers),
    "hidden_act": "sqrelu",
    "norm_first": config.embedding_norm,
    "norm_bias": config.norm_bias,
    "norm_eps": config.norm_epsilon,
    # a single layer has no residual, and so no rank of it
    "v_low_rank_dim": last.value_rank or 1,
  } | {theirs: getattr(first, ours) for theirs, ours in _RANKS.items()}
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  words = same(config.vocab_size, config.d_model)
  rules = [Rule("model.embeddings.weight", "embedding", words)]
  rules += norm_rules(config, "model.norm", "norm")
  if config.embedding_norm:
    rules += norm_rules(config, "model.layers.0.pre_norm", "embedding_norm")
  return rules if config.tied else [*rules, Rule("lm_head.weight", "head", words)]


def norm_rules(config: LMConfig, name: str, path: str) -> list[Rule]:
  """Returns the tensors of a layer norm."""
  layout = same(config.d_model)
  rules = [Rule(f"{name}.weight", f"{path}/scale", layout)]
  return rules + [Rule(f"{name}.bias", f"{path}/bias", layout)] * config.norm_bias


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  mixer = pattern.mixer(entry, d, "float32")
  heads, size = mixer.num_heads, mixer._head_dim
  layer, at = "model.layers.{}.", "model.layers.{}.attn."
  rules = norm_rules(config, f"{layer}attn_norm", "mixer_norm")
  rules += norm_rules(config, f"{layer}ffn_norm", "mlp_norm")
  rules += [
    Rule(f"{layer}ffn.x_k", "mlp/shift", same(d)),
    Rule(f"{layer}ffn.key.weight", "mlp/up/kernel", matrix(d, f)),
    Rule(f"{layer}ffn.value.weight", "mlp/down/kernel", matrix(f, d)),
    Rule(f"{at}k_k", "mixer/removed", same(d)),
    Rule(f"{at}k_a", "mixer/replaced", same(d)),
    Rule(f"{at}r_k", "mixer/bonus", flat(heads, size)),
    Rule(f"{at}g_norm.weight", "mixer/norm/scale", of_heads(heads, size)),
    Rule(f"{at}g_norm.bias", "mixer/norm/bias", of_heads(heads, size)),
    Rule(f"{at}o_proj.weight", "mixer/out/kernel", matrix(d, d)),
  ]
  for name in "rkv":
    rules.append(Rule(f"{at}{name}_proj.weight", f"mixer/{name}/kernel", matrix(d, d)))
  rules += [Rule(f"{at}x_{n}", f"mixer/shift_{n}", flat(1, 1, d)) for n in "rwkvag"]
  ranks = {"w": mixer.decay_rank, "a": mixer.rate_rank, "g": mixer.gate_rank}
  if mixer.value_residual:
    ranks["v"] = mixer.value_rank
  for name, rank in ranks.items():
    narrow, wide, bias = _MAPS[name]
    lora = f"{at}{name}_lora.lora."
    rules.append(Rule(f"{lora}0.weight", f"mixer/{narrow}/kernel", matrix(d, rank)))
    rules.append(Rule(f"{lora}2.weight", f"mixer/{wide}/kernel", matrix(rank, d)))
    if bias:
      rules.append(Rule(f"{lora}2.bias", f"mixer/{bias}", same(d)))
  return rules


def flat(*shape: int) -> Layout:
  """Returns the layout of a vector whose tensor has more axes."""
  return Layout(shape, shape, tuple(range(len(shape))), (math.prod(shape),))


FAMILY = Family(_CLASSES, to_config, to_settings, outer_rules, layer_rules)
