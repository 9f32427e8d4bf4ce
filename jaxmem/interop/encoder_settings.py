"""What the families of encoders share: their config, their layers and their heads.

BERT, RoBERTa and DistilBERT are one encoder, `EncoderConfig(block="post")`, under other
names. A head is read where the folder has all of its tensors, and its parameters lie
where the task's model has its own:

    language model  transform, transform_norm, head_bias     `MaskedLM(transform=True)`
    answers         head                                     `SpanReader`
    classes         hidden, head                             `Classifier(hidden=...)`
    pooler          hidden                                   `Classifier(hidden="tanh")`

A model without such a head takes the encoder alone: its own head stays as it was drawn.

Source: Devlin et al. 2018, arXiv:1810.04805.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Settings
from jaxmem.interop.layouts import (
  Rule,
  biased,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.models import pattern
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import Entry

# How GELU is computed: transformers' name -> the MLP.
MLPS = {
  "gelu": "",
  "gelu_new": "gelu:approximate=True",
  "gelu_pytorch_tanh": "gelu:approximate=True",
}
# Fields of a config that change no number of a token's features in one window.
_FREE = ("pool", "window", "dropout", "dtype", "pattern", "d_ff", "mlp")
# Names of the parts of norms in older files -> those of now.
OLDER = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def config_of(settings: Settings, heads: str, activation: str, **fields: Any) -> Any:
  """Returns the config of a BERT by another name.

  Args:
    settings: of the model.
    heads: the key of the number of heads.
    activation: the key of the activation.
    **fields: of `EncoderConfig`, as the settings have them.

  Raises:
    DataError: if the settings describe a model that the layers cannot be.
  """
  settings.require(tie_word_embeddings=True)
  if settings.get(activation, "gelu") not in MLPS:
    settings.require(**{activation: "gelu"})
  layer = pattern.entry(
    "encoder_attention", num_heads=settings[heads], use_bias=True, rotary_base=None
  )
  return EncoderConfig(
    pattern=(layer,),
    block="post",
    mlp=MLPS[settings.get(activation, "gelu")],
    pool="mean",
    **fields,
  )


def heads_of(config: EncoderConfig) -> int:
  """Returns the number of attention heads of a model's layers."""
  return dict(pattern.memory_of(config.pattern[0]).options).get("num_heads", 4)


def activation_of(config: EncoderConfig) -> str:
  """Returns transformers' name of the activation; see `check_same` for others."""
  exact = config.mlp_entry != pattern.mlp_entry("gelu:approximate=True")
  return "gelu" if exact else "gelu_new"


def check_same(config: EncoderConfig, read: EncoderConfig, model_type: str) -> None:
  """Checks that settings are read as the model that they were written of.

  Args:
    config: of the model.
    read: the config that its settings describe.
    model_type: of the settings.

  Raises:
    DataError: if the two compute other features; names the first difference.
  """
  theirs = pattern.show(read.pattern)
  if {*map(_plain, config.pattern)} != {*map(_plain, read.pattern)}:
    raise DataError(
      f"{pattern.show(config.pattern)!r} is no {model_type.upper()}, which has "
      f"{theirs!r} in every layer"
    )
  for field in dataclasses.fields(config):
    if field.name in (*_FREE, "num_groups"):
      continue
    value, expected = getattr(config, field.name), getattr(read, field.name)
    if value != expected:
      raise DataError(
        f"{field.name} is {value!r}: the encoder is no {model_type.upper()}, "
        f"where it is {expected!r}"
      )
  if _mlp(config) != _mlp(read):
    raise DataError(f"the MLP {config.mlp!r} is none of a {model_type.upper()}")


def layer_rules(config: EncoderConfig, names: Mapping[str, str]) -> list[Rule]:
  """Returns the tensors of a layer.

  Args:
    config: of the model.
    names: of the tensors, without ".weight", for the paths "q", "k", "v", "out", "up",
      "down", "mixer_norm" and "mlp_norm"; each with "{}" for the layer's number.
  """
  d, f, heads = config.d_model, config.d_ff or 2 * config.d_model, heads_of(config)
  size = d // heads
  inputs = (to_heads(d, heads, size), of_heads(heads, size))
  rules = []
  for path in "qkv":
    rules += biased(names[path], f"mixer/{path}/kernel", *inputs)
  return [
    *rules,
    *biased(names["out"], "mixer/out/kernel", from_heads(heads, size, d), same(d)),
    *biased(names["up"], "up/kernel", matrix(d, f), same(f)),
    *biased(names["down"], "down/kernel", matrix(f, d), same(d)),
    *biased(names["mixer_norm"], "mixer_norm/scale", same(d), same(d)),
    *biased(names["mlp_norm"], "mlp_norm/scale", same(d), same(d)),
  ]


def embedding_rules(config: EncoderConfig, at: str) -> list[Rule]:
  """Returns the tensors of the embeddings, whose names begin with `at`."""
  d, rows = config.d_model, config.positions + config.position_offset
  rules = [
    Rule(f"{at}.word_embeddings.weight", "embedding", same(config.vocab_size, d)),
    Rule(f"{at}.position_embeddings.weight", "positions", same(rows, d)),
    *biased(f"{at}.LayerNorm", "embedding_norm/scale", same(d), same(d)),
  ]
  if not config.types:
    return rules
  kinds = same(config.types, d)
  return [*rules, Rule(f"{at}.token_type_embeddings.weight", "types", kinds)]


def language_rules(
  config: EncoderConfig, dense: str, norm: str, bias: str
) -> list[Rule]:
  """Returns the tensors of the head of a masked language model, by their names."""
  d = config.d_model
  return [
    *biased(dense, "transform/kernel", matrix(d, d), same(d)),
    *biased(norm, "transform_norm/scale", same(d), same(d)),
    Rule(bias, "head_bias", same(config.vocab_size)),
  ]


def dense_rules(name: str, path: str, inputs: int, outputs: int) -> list[Rule]:
  """Returns the tensors of a linear map of a head."""
  return biased(name, f"{path}/kernel", matrix(inputs, outputs), same(outputs))


def _plain(entry: Entry) -> tuple[str, frozenset]:
  """A layer with its options, those left out that change no number."""
  options = dict(pattern.memory_of(entry).options)
  free = ("form", "implementation", "block_size")
  return str(entry.name), frozenset(
    (key, value) for key, value in options.items() if key not in free
  )


def _mlp(config: EncoderConfig) -> tuple[str, bool]:
  """Which GELU the MLP has."""
  entry = config.mlp_entry
  if entry is None:
    return "", False
  options = dict(entry.options)
  return entry.name, bool(options.get("approximate", False))
