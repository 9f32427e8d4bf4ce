"""BERT, and models by its settings, such as MiniLM and most sentence encoders.

Source: Devlin et al. 2018, arXiv:1810.04805.
"""

from typing import Any

from jaxmem.interop import encoder_settings as shared
from jaxmem.interop.families import Family, Head, Settings
from jaxmem.interop.layouts import Rule
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import Entry

# The tensors of a layer, by the path of its parameters.
_LAYER = {
  "q": "attention.self.query",
  "k": "attention.self.key",
  "v": "attention.self.value",
  "out": "attention.output.dense",
  "up": "intermediate.dense",
  "down": "output.dense",
  "mixer_norm": "attention.output.LayerNorm",
  "mlp_norm": "output.LayerNorm",
}
# Older files of models that find answers have a pooler, which nothing reads.
NO_POOLER = ("hidden/kernel", "hidden/bias")


def to_config(settings: Settings) -> EncoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(
    position_embedding_type="absolute", is_decoder=False, add_cross_attention=False
  )
  return shared.config_of(
    settings,
    heads="num_attention_heads",
    activation="hidden_act",
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"],
    num_groups=settings["num_hidden_layers"],
    norm_epsilon=settings.get("layer_norm_eps", 1e-12),
    positions=settings["max_position_embeddings"],
    types=settings.get("type_vocab_size", 2),
    dropout=float(settings.get("hidden_dropout_prob", 0.0)),
  )


def to_settings(config: EncoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  settings = plain_settings(config, model_type)
  shared.check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def plain_settings(config: EncoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings that BERT and RoBERTa write, unchecked."""
  return {
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "hidden_size": config.d_model,
    "intermediate_size": config.d_ff or 2 * config.d_model,
    "num_hidden_layers": config.num_groups * len(config.pattern),
    "num_attention_heads": shared.heads_of(config),
    "hidden_act": shared.activation_of(config),
    "layer_norm_eps": config.norm_epsilon,
    "position_embedding_type": "absolute",
    "max_position_embeddings": config.positions,
    "type_vocab_size": config.types,
    "hidden_dropout_prob": config.dropout,
    "attention_probs_dropout_prob": 0.0,
    "is_decoder": False,
  }


def outer_rules(config: EncoderConfig, prefix: str = "bert.") -> list[Rule]:
  """Returns the tensors around the layers."""
  return shared.embedding_rules(config, f"{prefix}embeddings")


def layer_rules(
  config: EncoderConfig, entry: Entry, prefix: str = "bert."
) -> list[Rule]:
  """Returns the tensors of a layer."""
  del entry  # all layers are equal
  at = prefix + "encoder.layer.{}."
  return shared.layer_rules(config, {k: at + name for k, name in _LAYER.items()})


def language_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the masked language model."""
  del outputs  # the tokens, which the config counts
  at = "cls.predictions."
  return shared.language_rules(
    config, f"{at}transform.dense", f"{at}transform.LayerNorm", f"{at}bias"
  )


def answer_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the head that finds answers."""
  return shared.dense_rules("qa_outputs", "head", config.d_model, outputs)


def class_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the classes; what they read is the pooler's."""
  classes = shared.dense_rules("classifier", "head", config.d_model, outputs)
  return classes + pooler(config, 0)


def pooler(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the map of the first token."""
  del outputs  # as many as features
  d = config.d_model
  return shared.dense_rules("bert.pooler.dense", "hidden", d, d)


FAMILY = Family(
  {"bert": "BertModel"},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  prefix="bert.",
  # NSP has no counterpart here; a tied decoder is the embedding
  derived=("embeddings.position_ids", "cls.predictions.decoder.weight")
  + ("cls.predictions.decoder.bias", "cls.seq_relationship.weight")
  + ("cls.seq_relationship.bias",),
  config_class=EncoderConfig,
  heads=(
    Head("ForSequenceClassification", class_head, "classifier.bias"),
    Head("ForQuestionAnswering", answer_head, "qa_outputs.bias", NO_POOLER),
    Head("ForMaskedLM", language_head),
    Head("Model", pooler),
  ),
  older=shared.OLDER,
)
