"""RoBERTa, and the models by its settings: XLM-RoBERTa and CamemBERT.

A BERT of one type of token, whose first token has the position after that of padding.

Source: Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2019, arXiv:1911.02116
(XLM-RoBERTa); Martin et al. 2019, arXiv:1911.03894 (CamemBERT).
"""

import dataclasses
import functools
from typing import Any

from jaxmem.interop import encoder_settings as shared
from jaxmem.interop.families import Family, Head, Settings, bert
from jaxmem.interop.layouts import Rule
from jaxmem.models.encoder_config import EncoderConfig

_PREFIX = "roberta."


def to_config(settings: Settings) -> EncoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  # the head of the language model has this one whatever the layers have
  settings.require(hidden_act="gelu")
  config = bert.to_config(settings)
  offset = settings.get("pad_token_id", 1) + 1
  return dataclasses.replace(
    config, positions=config.positions - offset, position_offset=offset
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
  """Returns the settings that RoBERTa and Longformer write, unchecked."""
  return bert.plain_settings(config, model_type) | {
    "max_position_embeddings": config.positions + config.position_offset,
    "pad_token_id": config.position_offset - 1,
  }


def language_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the masked language model."""
  del outputs  # the tokens, which the config counts
  return shared.language_rules(
    config, "lm_head.dense", "lm_head.layer_norm", "lm_head.bias"
  )


def class_head(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the classes."""
  d = config.d_model
  return [
    *shared.dense_rules("classifier.dense", "hidden", d, d),
    *shared.dense_rules("classifier.out_proj", "head", d, outputs),
  ]


def pooler(config: EncoderConfig, outputs: int, prefix: str = _PREFIX) -> list[Rule]:
  """Returns the tensors of the map of the first token."""
  del outputs  # as many as features
  d = config.d_model
  return shared.dense_rules(f"{prefix}pooler.dense", "hidden", d, d)


FAMILY = Family(
  {
    "roberta": "RobertaModel",
    "xlm-roberta": "XLMRobertaModel",
    "camembert": "CamembertModel",
  },
  to_config,
  to_settings,
  functools.partial(bert.outer_rules, prefix=_PREFIX),
  functools.partial(bert.layer_rules, prefix=_PREFIX),
  prefix=_PREFIX,
  derived=("embeddings.position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias"),
  config_class=EncoderConfig,
  heads=(
    Head("ForSequenceClassification", class_head, "classifier.out_proj.bias"),
    Head("ForQuestionAnswering", bert.answer_head, "qa_outputs.bias", bert.NO_POOLER),
    Head("ForMaskedLM", language_head),
    Head("Model", pooler),
  ),
  older=shared.OLDER,
)
