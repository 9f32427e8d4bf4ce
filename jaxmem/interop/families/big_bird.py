"""BigBird with full attention: a BERT under the names of BigBird.

With `attention_type="block_sparse"` transformers draws other random blocks in every
step of training, and outside of training counts the first block once more for each
random one. No mask does so, and such a folder is refused. For texts of at most
(5 + 2 num_random_blocks) block_size tokens transformers computes full attention,
whatever the type.

Source: Zaheer et al. 2020, arXiv:2007.14062.
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop import encoder_settings as shared
from jaxmem.interop.families import Family, Head, Settings, bert
from jaxmem.interop.layouts import Rule
from jaxmem.models.encoder_config import EncoderConfig


def to_config(settings: Settings) -> EncoderConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(rescale_embeddings=False, use_bias=True)
  kind = settings.get("attention_type", "block_sparse")
  if kind != "original_full":
    raise DataError(
      f"the attention_type is {kind!r}: only 'original_full' can be read, which "
      "transformers computes for short texts anyway; set it for those"
    )
  # what a BigBird has where its settings do not say
  act = settings.get("hidden_act", "gelu_new")
  return bert.to_config(settings.replaced(hidden_act=act))


def to_settings(config: EncoderConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  settings = bert.plain_settings(config, model_type)
  settings |= {"attention_type": "original_full", "use_bias": True}
  shared.check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def pooler(config: EncoderConfig, outputs: int) -> list[Rule]:
  """Returns the tensors of the map of the first token."""
  del outputs  # as many as features
  return shared.dense_rules("bert.pooler", "hidden", config.d_model, config.d_model)


FAMILY = Family(
  {"big_bird": "BigBirdModel"},
  to_config,
  to_settings,
  bert.outer_rules,
  bert.layer_rules,
  prefix="bert.",
  derived=bert.FAMILY.derived,
  heads=(Head("ForMaskedLM", bert.language_head), Head("Model", pooler)),
)
