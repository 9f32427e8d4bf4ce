"""T5, of the first version and of 1.1 (which mT5, Flan-T5 and UL2 have, too).

Source: Raffel et al. 2019, arXiv:1910.10683, section 2.1; Shazeer 2020,
arXiv:2002.05202 (the gated MLP of version 1.1).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Item, Settings
from jaxmem.interop.layouts import Layout, Rule, from_heads, matrix, same, to_heads
from jaxmem.interop.seq2seq_settings import (
  all_options,
  both_places,
  check_equal,
  check_layers,
  decoder_pattern,
)
from jaxmem.models import pattern
from jaxmem.models.encoder_decoder import EncoderDecoderConfig

_CLASSES = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
# Copies of the embedding, and a table that is never read; older folders have them.
_DERIVED = (
  "coder.embed_tokens.weight",
  "EncDecAttention.relative_attention_bias.weight",
)
# The MLPs: transformers' name -> ours.
_MLPS = {
  "relu": "relu:use_bias=False",
  "gated-gelu": "geglu:approximate=True",
  "gated-silu": "swiglu",
}
# Tokens of either text where the settings do not say it.
_LENGTH = 512


def to_config(settings: Settings) -> EncoderDecoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  default = "gated-gelu" if settings["model_type"] == "mt5" else "relu"
  activation = settings.get("feed_forward_proj", default)
  if activation not in _MLPS:
    raise DataError(
      f"feed_forward_proj {activation!r}: one of {', '.join(_MLPS)} can be read"
    )
  d_model, layers = settings["d_model"], settings["num_layers"]
  length = settings.get("n_positions", _LENGTH)
  attention = {
    "num_heads": settings["num_heads"],
    "head_dim": settings["d_kv"],
    "query_scale": 1.0,
    "rotary_base": None,
  }
  buckets = {
    "bias": "buckets",
    "num_buckets": settings.get("relative_attention_num_buckets", 32),
    "farthest": settings.get("relative_attention_max_distance", 128),
  }
  # from version 1.1 on the head is a table of its own, and reads unscaled features;
  # transformers 5 says with scale_decoder_outputs what older settings said with the tie
  tied = settings.get("tie_word_embeddings", True)
  tied = settings.get("scale_decoder_outputs", tied) and settings["model_type"] == "t5"
  return EncoderDecoderConfig(
    vocab_size=settings["vocab_size"],
    encoder=(pattern.entry("encoder_attention", **attention, **buckets),),
    d_model=d_model,
    d_ff=settings["d_ff"],
    pattern=decoder_pattern(attention, capacity=length, **buckets),
    num_groups=settings.get("num_decoder_layers", layers),
    encoder_groups=layers,
    memory_size=length,
    mlp=_MLPS[activation],
    norm_epsilon=settings.get("layer_norm_epsilon", 1e-6),
    embedding_scale=1.0,
    shared_buckets=True,
    tied=tied,
    head_scale=d_model**-0.5 if tied else 1.0,
    dropout=settings.get("dropout_rate", 0.1),
  )


def to_settings(config: EncoderDecoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  check_layers(config, model_type)
  options = all_options(config.pattern[0], config.d_model)
  activations = {ours: theirs for theirs, ours in _MLPS.items()}
  settings = {
    "architectures": [_CLASSES[model_type]],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "d_model": config.d_model,
    "d_kv": options["head_dim"] or config.d_model // options["num_heads"],
    "d_ff": config.d_ff or 2 * config.d_model,
    "num_layers": config.encoder_groups or config.num_groups,
    "num_decoder_layers": config.num_groups,
    "num_heads": options["num_heads"],
    "relative_attention_num_buckets": options["num_buckets"],
    "relative_attention_max_distance": options["farthest"],
    "n_positions": options["capacity"],
    "feed_forward_proj": activations.get(config.mlp, "relu"),
    "layer_norm_epsilon": config.norm_epsilon,
    "dropout_rate": config.dropout,
    "tie_word_embeddings": config.tied,
    "is_encoder_decoder": True,
    "decoder_start_token_id": 0,
  }
  check_equal(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: EncoderDecoderConfig) -> list[Rule]:
  """Returns the tensors around the layers, and the tables that all layers share."""
  d, words = config.d_model, same(config.vocab_size, config.d_model)
  rules = [Rule("shared.weight", "embedding", words)]
  for side, item in (("encoder", config.encoder[0]), ("decoder", config.pattern[0])):
    norm, attention = f"{side}.final_layer_norm.weight", "block.0.layer.0.SelfAttention"
    rules.append(Rule(norm, f"{side}_norm/scale", same(d)))
    options = all_options(item, d)
    shape = options["num_buckets"], options["num_heads"]
    table = Layout(shape, shape, (0, 1), (1, *shape))
    name = f"{side}.{attention}.relative_attention_bias.weight"
    rules.append(Rule(name, f"{side}/groups/block_0/mixer/buckets", table))
  return rules if config.tied else [*rules, Rule("lm_head.weight", "head", words)]


def layer_rules(config: EncoderDecoderConfig, item: Item) -> list[Rule]:
  """Returns the tensors of a block."""
  memory = pattern.memory_of(item)
  return {
    "encoder_attention": lambda: (
      _attention(config, item, "encoder.block.{}.layer.0.", "SelfAttention")
      + _mlp(config, "encoder.block.{}.layer.1.")
    ),
    "attention": lambda: _attention(
      config, item, "decoder.block.{}.layer.0.", "SelfAttention"
    ),
    "cross_attention": lambda: (
      _attention(config, item, "decoder.block.{}.layer.1.", "EncDecAttention")
      + _mlp(config, "decoder.block.{}.layer.2.")
    ),
  }[memory.name]()


def _attention(
  config: EncoderDecoderConfig, item: Item, at: str, name: str
) -> list[Rule]:
  d, mixer = config.d_model, pattern.mixer(item, config.d_model, "float32")
  heads, (_, size) = mixer.num_heads, mixer._dims
  out = from_heads(heads, size, d)
  rules = [
    Rule(f"{at}layer_norm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{at}{name}.o.weight", "mixer/out/kernel", out),
  ]
  for letter in "qkv":
    weight = to_heads(d, heads, size)
    rules.append(Rule(f"{at}{name}.{letter}.weight", f"mixer/{letter}/kernel", weight))
  return rules


def _mlp(config: EncoderDecoderConfig, at: str) -> list[Rule]:
  d, f = config.d_model, config.d_ff or 2 * config.d_model
  up, down, mlp = matrix(d, f), matrix(f, d), f"{at}DenseReluDense."
  rules = [
    Rule(f"{at}layer_norm.weight", "mlp_norm/scale", same(d)),
    Rule(f"{mlp}wo.weight", "mlp/down/kernel", down),
  ]
  if config.mlp == _MLPS["relu"]:
    return [*rules, Rule(f"{mlp}wi.weight", "mlp/up/kernel", up)]
  gate = Rule(f"{mlp}wi_0.weight", "mlp/gate/kernel", up)
  return [*rules, gate, Rule(f"{mlp}wi_1.weight", "mlp/up/kernel", up)]


FAMILY = Family(
  _CLASSES,
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  places=both_places,
  derived=_DERIVED,
  config_class=EncoderDecoderConfig,
)
