"""Longformer: a RoBERTa whose tokens read those near them, and the first token all.

Which tokens read all is no setting of such a model but an input. Here it is the first
of a text, as in a classifier of transformers. There the head that finds answers has
all tokens of the question read the whole text, so that head is not read.

Source: Beltagy et al. 2020, arXiv:2004.05150, section 3.1.
"""

import dataclasses
import functools
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop import encoder_settings as shared
from jaxmem.interop.families import Family, Head, Settings, bert, folded, roberta
from jaxmem.interop.layouts import Rule, biased, of_heads, to_heads
from jaxmem.models import pattern
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import Entry

_PREFIX = "longformer."


def to_config(settings: Settings) -> EncoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  count, windows = settings["num_hidden_layers"], settings["attention_window"]
  if isinstance(windows, int):
    windows = [windows] * count
  if len(windows) != count:
    raise DataError(f"{len(windows)} attention_window for {count} num_hidden_layers")
  if odd := [size for size in windows if size < 2 or size % 2]:
    raise DataError(f"attention_window has {odd[0]}: half of it is on each side")
  layers = [_layer(settings["num_attention_heads"], size) for size in windows]
  first, repeated, groups = folded(layers)
  if first:  # an encoder has no first layers
    repeated, groups = tuple(layers), 1
  return dataclasses.replace(
    roberta.to_config(settings), pattern=repeated, num_groups=groups
  )


def _layer(heads: int, window_size: int) -> Entry:
  """The entry of a layer."""
  return pattern.entry(
    "longformer",
    num_heads=heads,
    use_bias=True,
    rotary_base=None,
    causal=False,
    num_global=1,
    window_size=window_size,
  )


def to_settings(config: EncoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = [pattern.memory_of(entry) for entry in config.pattern] * config.num_groups
  settings = roberta.plain_settings(config, model_type) | {
    "attention_window": [dict(x.options).get("window_size", 128) for x in layers]
  }
  shared.check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def layer_rules(config: EncoderConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  heads = shared.heads_of(config)
  size = config.d_model // heads
  rules = bert.layer_rules(config, entry, prefix=_PREFIX)
  for path, name in (("q", "query"), ("k", "key"), ("v", "value")):
    rules += biased(
      _PREFIX + "encoder.layer.{}.attention.self." + name + "_global",
      f"mixer/{path}_global/kernel",
      to_heads(config.d_model, heads, size),
      of_heads(heads, size),
    )
  return rules


FAMILY = Family(
  {"longformer": "LongformerModel"},
  to_config,
  to_settings,
  functools.partial(bert.outer_rules, prefix=_PREFIX),
  layer_rules,
  prefix=_PREFIX,
  derived=roberta.FAMILY.derived,
  heads=(
    Head("ForSequenceClassification", roberta.class_head, "classifier.out_proj.bias"),
    Head("ForMaskedLM", roberta.language_head),
    Head("Model", functools.partial(roberta.pooler, prefix=_PREFIX)),
  ),
)
