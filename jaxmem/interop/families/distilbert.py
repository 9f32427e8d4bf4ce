"""DistilBERT: BERT with half of the layers, without types of tokens and a pooler.

Source: Sanh et al. 2019, arXiv:1910.01108.
"""

from typing import Any

from jaxmem.interop import encoder_settings as shared
from jaxmem.interop.families import Family, Head, Settings, bert
from jaxmem.interop.layouts import Rule
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import Entry

_LAYER = {
  "q": "attention.q_lin",
  "k": "attention.k_lin",
  "v": "attention.v_lin",
  "out": "attention.out_lin",
  "up": "ffn.lin1",
  "down": "ffn.lin2",
  "mixer_norm": "sa_layer_norm",
  "mlp_norm": "output_layer_norm",
}


def to_config(settings: Settings) -> EncoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(sinusoidal_pos_embds=False)
  return shared.config_of(
    settings,
    heads="n_heads",
    activation="activation",
    vocab_size=settings["vocab_size"],
    d_model=settings["dim"],
    d_ff=settings["hidden_dim"],
    num_groups=settings["n_layers"],
    positions=settings["max_position_embeddings"],
    dropout=float(settings.get("dropout", 0.0)),
  )


def to_settings(config: EncoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  settings = {
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "dim": config.d_model,
    "hidden_dim": config.d_ff or 2 * config.d_model,
    "n_layers": config.num_groups * len(config.pattern),
    "n_heads": shared.heads_of(config),
    "activation": shared.activation_of(config),
    "max_position_embeddings": config.positions,
    "sinusoidal_pos_embds": False,
    "dropout": config.dropout,
    "attention_dropout": 0.0,
  }
  shared.check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: EncoderConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return shared.embedding_rules(config, "distilbert.embeddings")


def layer_rules(config: EncoderConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  del entry  # all layers are equal
  at = "distilbert.transformer.layer.{}."
  return shared.layer_rules(config, {k: at + name for k, name in _LAYER.items()})


def language_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the masked language model."""
  del outputs  # the tokens, which the config counts
  return shared.language_rules(
    config, "vocab_transform", "vocab_layer_norm", "vocab_projector.bias"
  )


def class_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the classes."""
  d = config.d_model
  return [
    *shared.dense_rules("pre_classifier", "hidden", d, d),
    *shared.dense_rules("classifier", "head", d, outputs),
  ]


FAMILY = Family(
  {"distilbert": "DistilBertModel"},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  prefix="distilbert.",
  derived=("vocab_projector.weight",),
  config_class=EncoderConfig,
  heads=(
    Head("ForSequenceClassification", class_head, "classifier.bias"),
    Head("ForQuestionAnswering", bert.answer_head, "qa_outputs.bias"),
    Head("ForMaskedLM", language_head),
  ),
)
