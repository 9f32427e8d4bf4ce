"""RWKV-6, by the names of flash-linear-attention.

Source: Peng et al. 2024, arXiv:2404.05892, section 4.
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings
from jaxmem.interop.families.rwkv7 import norm_rules, outer_rules
from jaxmem.interop.layouts import (
  Layout,
  Part,
  Rule,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import (
  check_layers,
  check_same,
  layers_of,
  shared_settings,
)
from jaxmem.mixers.rwkv6 import MIXED
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"rwkv6": "RWKV6ForCausalLM"}
_MLP = "rwkv_channel_mix:receptance=True"
# The uses of a token in the order of fla; ours is `MIXED`.
_USES = "rwkvg"


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(hidden_act="sqrelu", attn=None, fuse_norm=True)
  if (shares := (settings["expand_k"], settings["expand_v"])) != (1, 1):
    raise DataError(
      f"expand_k and expand_v are {shares}: only 1 can be read, keys and values as "
      "wide as the features"
    )
  width = settings["hidden_size"]
  entry = pattern.entry(
    "rwkv6",
    num_heads=settings["num_heads"],
    shift_rank=settings["proj_low_rank_dim"],
    decay_rank=settings["gate_low_rank_dim"],
    norm_epsilon=settings["norm_eps"],
  )
  up = int(width * settings.get("hidden_ratio", 3.5))
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=width,
    d_ff=settings.get("intermediate_size", -(-up // 32) * 32),
    pattern=(entry,),
    num_groups=settings["num_hidden_layers"],
    mlp=_MLP,
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
  check_layers(config, "rwkv6", model_type)
  mixer = pattern.mixer(layers[0], config.d_model, "float32")
  settings = {
    **shared_settings(config, _CLASSES[model_type], model_type),
    "num_heads": mixer.num_heads,
    "expand_k": 1.0,
    "expand_v": 1.0,
    "proj_low_rank_dim": mixer.shift_rank,
    "gate_low_rank_dim": mixer.decay_rank,
    "hidden_act": "sqrelu",
    "norm_first": config.embedding_norm,
    "norm_bias": config.norm_bias,
    "norm_eps": config.norm_epsilon,
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  mixer = pattern.mixer(entry, d, "float32")
  (heads, size), narrow = mixer._heads, mixer.decay_rank
  layer, at = "model.layers.{}.", "model.layers.{}.attn."
  lora = f"{at}w_proj.linear.lora."
  rules = norm_rules(config, f"{layer}attn_norm", "mixer_norm")
  rules += norm_rules(config, f"{layer}ffn_norm", "mlp_norm")
  rules += [
    Rule(f"{layer}ffn.key.mu", "mlp/shift", same(d)),
    Rule(f"{layer}ffn.key.linear.weight", "mlp/up/kernel", matrix(d, f)),
    Rule(f"{layer}ffn.value.weight", "mlp/down/kernel", matrix(f, d)),
    Rule(f"{layer}ffn.receptance.mu", "mlp/receptance_shift", same(d)),
    Rule(f"{layer}ffn.receptance.linear.weight", "mlp/receptance/kernel", matrix(d, d)),
    Rule(f"{lora}0.weight", "mixer/decay_in/kernel", matrix(d, narrow)),
    Rule(f"{lora}2.weight", "mixer/decay/kernel", to_heads(narrow, heads, size)),
    Rule(f"{lora}2.bias", "mixer/decay_base", of_heads(heads, size)),
    Rule(f"{at}bonus", "mixer/bonus", same(heads, size)),
    Rule(f"{at}g_norm.weight", "mixer/norm/scale", of_heads(heads, size)),
    Rule(f"{at}g_norm.bias", "mixer/norm/bias", of_heads(heads, size)),
    Rule(f"{at}o_proj.weight", "mixer/out/kernel", from_heads(heads, size, d)),
    Rule(f"{at}x_proj.0.mu", "mixer/shift", same(d)),
  ]
  for name in "rkvg":
    weight = to_heads(d, heads, size)
    rules.append(Rule(f"{at}{name}_proj.linear.weight", f"mixer/{name}/kernel", weight))
  return rules + _shift_rules(at, d, mixer.shift_rank)


def _shift_rules(at: str, d: int, rank: int) -> list[Rule]:
  """The low-rank maps to the shares of each use, whose uses have another order."""
  count, rules = len(MIXED), []
  for i, use in enumerate(_USES):
    j = MIXED.index(use)
    into = Layout((1, rank, d), (1, rank, d), (2, 0, 1), (d, 1, rank))
    out = Layout((d, 1, rank), (d, 1, rank), (1, 2, 0), (1, rank, d))
    rules += [
      Rule(
        f"{at}x_proj.0.linear.weight",
        "mixer/shift_in/kernel",
        into,
        Part((count * rank, d), 0, i, i + 1, (count, rank, d)),
        Part((d, count, rank), 1, j, j + 1),
      ),
      Rule(
        f"{at}x_proj.2.weight",
        "mixer/shift_out",
        out,
        Part((d, count * rank), 1, i, i + 1, (d, count, rank)),
        Part((count, rank, d), 0, j, j + 1),
      ),
      Rule(
        f"{at}x_bias",
        f"mixer/shift_{use}",
        Layout((1, d), (1, d), (0, 1), (d,)),
        Part((count, d), 0, i, i + 1),
      ),
    ]
  return rules


FAMILY = Family(_CLASSES, to_config, to_settings, outer_rules, layer_rules)
