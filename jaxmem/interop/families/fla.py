"""Models of flash-linear-attention whose blocks differ by their memory alone.

Gated DeltaNet, Kimi Delta Attention, DeltaNet, GLA, HGRN2 and RetNet: RMS norms, one
memory, SwiGLU. A model with attention between its layers, or with residuals over
several layers, is refused.

Source: https://github.com/fla-org/flash-linear-attention (names and settings); for the
memories see their files in `jaxmem.mixers`.
"""

from typing import Any

from jaxmem.interop.families import Family, Settings
from jaxmem.interop.families.fla_memories import MEMORIES
from jaxmem.interop.layouts import Rule, matrix, same
from jaxmem.interop.lm_settings import (
  check_layers,
  check_same,
  end_rules,
  layers_of,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_LAYER = "model.layers.{}."


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  memory = MEMORIES[settings["model_type"]]
  shared = {"hidden_act": "swish", "attn": None, "attnres_block_size": None}
  settings.require(**shared | memory.required)
  d, epsilon = settings["hidden_size"], settings["norm_eps"]
  options = {"norm_epsilon": epsilon} | memory.options(settings, d)
  up = int(d * settings.get("hidden_ratio", 4) * 2 / 3)
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=d,
    d_ff=settings.get("intermediate_size", -(-up // 256) * 256),
    pattern=(pattern.entry(memory.mixer, **options),),
    num_groups=settings["num_hidden_layers"],
    norm_epsilon=epsilon,
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", False),
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  memory, layers = MEMORIES[model_type], layers_of(config)
  check_layers(config, memory.mixer, model_type)
  mixer = pattern.mixer(layers[0], config.d_model, "float32")
  required = {k: v for k, v in memory.required.items() if v is not None}
  settings = {
    **shared_settings(config, memory.model_class, model_type),
    "hidden_act": "swish",
    "norm_eps": config.norm_epsilon,
    **required,
    **memory.settings(mixer, config.d_model),
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return end_rules(config, "model.embeddings", "model.norm")


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  (memory,) = (m for m in MEMORIES.values() if m.mixer == entry.name)
  return [
    Rule(f"{_LAYER}attn_norm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{_LAYER}mlp_norm.weight", "mlp_norm/scale", same(d)),
    Rule(f"{_LAYER}mlp.gate_proj.weight", "mlp/gate/kernel", matrix(d, f)),
    Rule(f"{_LAYER}mlp.up_proj.weight", "mlp/up/kernel", matrix(d, f)),
    Rule(f"{_LAYER}mlp.down_proj.weight", "mlp/down/kernel", matrix(f, d)),
    *memory.rules(pattern.mixer(entry, d, "float32"), d),
  ]


FAMILY = Family(
  {name: memory.model_class for name, memory in MEMORIES.items()},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
)
