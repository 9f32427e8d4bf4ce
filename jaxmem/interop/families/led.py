"""LED: BART whose encoder has the attention of Longformer.

Source: Beltagy et al. 2020, arXiv:2004.05150, section 7. Which tokens are global is no
part of a folder: it is the first token of a text, as in the released models.
"""

import dataclasses
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Item, Settings, bart
from jaxmem.interop.layouts import Rule, biased, from_heads, of_heads, same, to_heads
from jaxmem.interop.seq2seq_settings import all_options, both_places, check_equal
from jaxmem.models import pattern
from jaxmem.models.encoder_decoder import EncoderDecoderConfig

_CLASS, _HEADLESS = "LEDForConditionalGeneration", "LEDModel"


def to_config(settings: Settings) -> EncoderDecoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  windows = settings["attention_window"]
  each = set(windows) if isinstance(windows, list) else {windows}
  if len(each) != 1:
    raise DataError(f"attention_window {windows}: only one for all layers can be read")
  length = settings["max_encoder_position_embeddings"]
  base = bart.to_config(
    settings.replaced(
      model_type="bart",
      scale_embedding=False,
      max_position_embeddings=settings["max_decoder_position_embeddings"],
    )
  )
  attention = pattern.entry(
    "longformer",
    num_heads=settings["encoder_attention_heads"],
    use_bias=True,
    rotary_base=None,
    causal=False,
    window_size=each.pop(),
    num_global=1,
  )
  return dataclasses.replace(
    base,
    encoder=(attention,),
    position_offset=0,
    encoder_positions=length,
    memory_size=length,
    head_bias=settings.get("architectures", [""])[0] != _HEADLESS,
  )


def to_settings(config: EncoderDecoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  options = all_options(config.encoder[0], config.d_model)
  if pattern.memory_of(config.encoder[0]).name != "longformer":
    raise DataError(f"the encoder has no longformer, and a {model_type} has")
  whole = pattern.entry(
    "encoder_attention",
    num_heads=options["num_heads"],
    use_bias=True,
    rotary_base=None,
  )
  as_bart = dataclasses.replace(
    config, encoder=(whole,), position_offset=2, encoder_positions=0
  )
  settings = bart.to_settings(as_bart, "bart")
  del settings["max_position_embeddings"], settings["scale_embedding"]
  settings |= {
    "architectures": [_CLASS if config.head_bias else _HEADLESS],
    "model_type": model_type,
    "attention_window": [options["window_size"]] * settings["encoder_layers"],
    "max_encoder_position_embeddings": config.encoder_positions or config.positions,
    "max_decoder_position_embeddings": config.positions,
  }
  check_equal(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: EncoderDecoderConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return _renamed(bart.outer_rules(config))


def layer_rules(config: EncoderDecoderConfig, item: Item) -> list[Rule]:
  """Returns the tensors of a block."""
  if pattern.memory_of(item).name != "longformer":
    return _renamed(bart.layer_rules(config, item))
  return _renamed(_encoder_rules(config, item))


def _renamed(rules: list[Rule]) -> list[Rule]:
  """Rules of BART with the names of LED."""
  return [r._replace(name=r.name.replace("model.", "led.", 1)) for r in rules]


def _encoder_rules(config: EncoderDecoderConfig, item: Item) -> list[Rule]:
  at, d = "model.encoder.layers.{}.", config.d_model
  mixer = pattern.mixer(item, d, "float32")
  heads, (_, size) = mixer.num_heads, mixer._dims
  weight, bias, norm = to_heads(d, heads, size), of_heads(heads, size), same(d)
  out = from_heads(heads, size, d)
  rules = [
    *biased(f"{at}self_attn_layer_norm", "mixer_norm/scale", norm, norm),
    *biased(f"{at}self_attn.output", "mixer/out/kernel", out, norm),
  ]
  for name in ("query", "key", "value"):
    for which in ("", "_global"):
      theirs = f"{at}self_attn.longformer_self_attn.{name}{which}"
      rules += biased(theirs, f"mixer/{name[0]}{which}/kernel", weight, bias)
  return rules + bart.mlp_rules(config, at)


FAMILY = Family(
  {"led": _CLASS},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  places=both_places,
  prefix="led.",
  derived=("coder.embed_tokens.weight",),
  config_class=EncoderDecoderConfig,
)
