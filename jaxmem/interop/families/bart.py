"""BART, and its relatives mBART and Pegasus.

Source: Lewis et al. 2019, arXiv:1910.13461, section 2.1 (BART); Liu et al. 2020,
arXiv:2001.08210, section 2 (mBART: norms before the layers); Zhang et al. 2019,
arXiv:1912.08777, section 5 (Pegasus: sinusoidal positions, which are read as learned
ones and are parameters, so that a folder keeps its bits).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Item, Settings
from jaxmem.interop.layouts import (
  Layout,
  Rule,
  biased,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.seq2seq_settings import (
  SIDES,
  all_options,
  both_places,
  check_equal,
  check_layers,
  decoder_pattern,
)
from jaxmem.models import pattern
from jaxmem.models.encoder_decoder import EncoderDecoderConfig

_CLASSES = {
  "bart": "BartForConditionalGeneration",
  "mbart": "MBartForConditionalGeneration",
  "pegasus": "PegasusForConditionalGeneration",
}
# A model that was saved without a head has no bias of one.
_HEADLESS = {"bart": "BartModel", "mbart": "MBartModel", "pegasus": "PegasusModel"}
# What sets them apart, as fields of a config.
_FIELDS: dict[str, dict[str, Any]] = {
  "bart": {
    "norm_position": "post",
    "final_norm": False,
    "embedding_norm": True,
    "position_offset": 2,
  },
  "mbart": {"embedding_norm": True, "position_offset": 2},
  "pegasus": {},
}
# Copies of the embedding; older folders have them.
_DERIVED = ("coder.embed_tokens.weight",)
# The MLPs: transformers' name -> ours.
_MLPS = {
  "gelu": "gelu:approximate=False",
  "gelu_new": "gelu:approximate=True",
  "relu": "relu",
}


def to_config(settings: Settings) -> EncoderDecoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  kind = settings["model_type"]
  activation, width = settings["activation_function"], settings["encoder_ffn_dim"]
  if activation not in _MLPS:
    raise DataError(
      f"activation_function {activation!r}: one of {', '.join(_MLPS)} can be read"
    )
  settings.require(decoder_ffn_dim=width)
  length = settings["max_position_embeddings"]
  options = [
    {
      "num_heads": settings[f"{side}_attention_heads"],
      "use_bias": True,
      "rotary_base": None,
    }
    for side in SIDES
  ]
  headless = settings.get("architectures", [""])[0] == _HEADLESS[kind]
  return EncoderDecoderConfig(
    vocab_size=settings["vocab_size"],
    encoder=(pattern.entry("encoder_attention", **options[0]),),
    d_model=settings["d_model"],
    d_ff=width,
    pattern=decoder_pattern(options[1], capacity=length),
    num_groups=settings["decoder_layers"],
    encoder_groups=settings["encoder_layers"],
    memory_size=length,
    mlp=_MLPS[activation],
    norm="layer",
    norm_epsilon=1e-5,
    embedding_scale=0.0 if settings.get("scale_embedding", False) else 1.0,
    positions=length,
    tied=settings.get("tie_word_embeddings", True),
    head_bias=not headless,
    dropout=settings.get("dropout", 0.1),
    **_FIELDS[kind],
  )


def to_settings(config: EncoderDecoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  check_layers(config, model_type)
  activations = {ours: theirs for theirs, ours in _MLPS.items()}
  width, classes = config.d_ff or 2 * config.d_model, _CLASSES
  settings: dict[str, Any] = {
    "architectures": [(classes if config.head_bias else _HEADLESS)[model_type]],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "d_model": config.d_model,
    "max_position_embeddings": config.positions,
    "activation_function": activations.get(config.mlp, "gelu"),
    "scale_embedding": config.embedding_scale == 0,
    "dropout": config.dropout,
    "tie_word_embeddings": config.tied,
    "is_encoder_decoder": True,
  }
  items = config.encoder[0], config.pattern[0]
  groups = config.encoder_groups or config.num_groups, config.num_groups
  for side, item, count in zip(SIDES, items, groups, strict=True):
    settings[f"{side}_layers"] = count
    settings[f"{side}_ffn_dim"] = width
    settings[f"{side}_attention_heads"] = all_options(item, config.d_model)["num_heads"]
  check_equal(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: EncoderDecoderConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  d, vocab, norm = config.d_model, config.vocab_size, same(config.d_model)
  words = same(vocab, d)
  rules = [Rule("model.shared.weight", "embedding", words)]
  counts = config.encoder_positions or config.positions, config.positions
  for side, count in zip(SIDES, counts, strict=True):
    at, table = f"model.{side}.", same(config.position_offset + count, d)
    rules.append(Rule(f"{at}embed_positions.weight", f"{side}_positions/table", table))
    if config.embedding_norm:
      path = f"{side}_embedding_norm/scale"
      rules += biased(f"{at}layernorm_embedding", path, norm, norm)
    if config.final_norm:
      rules += biased(f"{at}layer_norm", f"{side}_norm/scale", norm, norm)
  if config.head_bias:
    row = Layout((1, vocab), (1, vocab), (0, 1), (vocab,))
    rules.append(Rule("final_logits_bias", "head_bias", row))
  return rules if config.tied else [*rules, Rule("lm_head.weight", "head", words)]


def layer_rules(config: EncoderDecoderConfig, item: Item) -> list[Rule]:
  """Returns the tensors of a block."""
  name = pattern.memory_of(item).name
  side = "encoder" if name == "encoder_attention" else "decoder"
  at = f"model.{side}.layers.{{}}."
  attention = "encoder_attn" if name == "cross_attention" else "self_attn"
  d, mixer = config.d_model, pattern.mixer(item, config.d_model, "float32")
  heads, (_, size) = mixer.num_heads, mixer._dims
  weight, bias, norm = to_heads(d, heads, size), of_heads(heads, size), same(d)
  out = from_heads(heads, size, d)
  rules = [
    *biased(f"{at}{attention}_layer_norm", "mixer_norm/scale", norm, norm),
    *biased(f"{at}{attention}.out_proj", "mixer/out/kernel", out, norm),
  ]
  for letter in "qkv":
    path = f"mixer/{letter}/kernel"
    rules += biased(f"{at}{attention}.{letter}_proj", path, weight, bias)
  return rules if name == "attention" else rules + mlp_rules(config, at)


def mlp_rules(config: EncoderDecoderConfig, at: str) -> list[Rule]:
  """Returns the tensors of the MLP of a layer, and of its norm.

  Args:
    config: of the model.
    at: begins their names.
  """
  d, f = config.d_model, config.d_ff or 2 * config.d_model
  # behind the norm of a sum there is no path of the MLP, see `ResidualBlock`
  path = "" if config.norm_position == "post" else "mlp/"
  norm = same(d)
  return [
    *biased(f"{at}final_layer_norm", "mlp_norm/scale", norm, norm),
    *biased(f"{at}fc1", f"{path}up/kernel", matrix(d, f), same(f)),
    *biased(f"{at}fc2", f"{path}down/kernel", matrix(f, d), norm),
  ]


FAMILY = Family(
  _CLASSES,
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  places=both_places,
  prefix="model.",
  derived=_DERIVED,
  config_class=EncoderDecoderConfig,
)
