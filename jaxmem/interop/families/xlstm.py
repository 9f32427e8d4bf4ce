"""xLSTM 7B: layers of mLSTM.

Source: Beck et al. 2025, arXiv:2503.13427, section 3 and appendix A. Its names are
those of transformers.
"""

from typing import Any

from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.layouts import (
  Rule,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import check_same, end_rules, layers_of, options_of
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"xlstm": "xLSTMForCausalLM"}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  width, heads = settings["hidden_size"], settings["num_heads"]
  # eps is added to the denominator of the memory, which the norm behind divides out
  settings.require(
    use_bias=False, weight_mode="single", add_out_norm=True, embedding_dim=width
  )
  count = settings.get("num_hidden_layers") or settings["num_blocks"]
  settings.require(num_blocks=count)
  key = int(width * settings.get("qk_dim_factor", 0.5))
  value = int(width * settings.get("v_dim_factor", 1.0))
  entry = pattern.entry(
    "mlstm",
    num_heads=heads,
    key_dim=key // heads,
    value_dim=value // heads,
    gate_cap=settings["gate_soft_cap"],
    norm_epsilon=settings.get("norm_eps", 1e-6),
  )
  multiple = settings.get("ffn_round_up_to_multiple_of", 64)
  hidden = width * settings.get("ffn_proj_factor", 2.667)
  first, repeated, groups = folded([entry] * count)
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=width,
    d_ff=int((hidden + multiple - 1) // multiple * multiple),
    first=first,
    pattern=repeated,
    num_groups=groups,
    norm_epsilon=settings.get("norm_eps", 1e-6),
    embedding_scale=1.0,
    logit_cap=settings["output_logit_soft_cap"],
    tied=settings.get("tie_word_embeddings", False),
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  options, layers = options_of(config, "mlstm"), len(layers_of(config))
  mixer = pattern.mixer(layers_of(config)[0], config.d_model, "float32")
  heads, key, value = mixer._dims
  settings: dict[str, Any] = {
    "architectures": [_CLASSES[model_type]],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "hidden_size": config.d_model,
    "embedding_dim": config.d_model,
    "num_hidden_layers": layers,
    "num_blocks": layers,
    "num_heads": heads,
    "qk_dim_factor": _factor(heads * key, config.d_model),
    "v_dim_factor": _factor(heads * value, config.d_model),
    "ffn_proj_factor": _factor(config.d_ff or LM(config).d_ff, config.d_model),
    "ffn_round_up_to_multiple_of": 1,
    "gate_soft_cap": options["gate_cap"],
    "output_logit_soft_cap": config.logit_cap,
    "norm_eps": config.norm_epsilon,
    "add_out_norm": config.final_norm,
    "use_bias": False,
    "weight_mode": "single",
    "tie_word_embeddings": config.tied,
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def _factor(size: int, width: int) -> float:
  """A factor of the width whose product is rounded down to the size."""
  factor = size / width
  return factor if int(width * factor) == size else (size + 0.5) / width


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return end_rules(config, "backbone.embeddings", "backbone.out_norm")


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  heads, key, value = pattern.mixer(entry, d, "float32")._dims
  layer, at = "backbone.blocks.{}.", "backbone.blocks.{}.mlstm_layer."
  rules = [
    Rule(f"{layer}norm_mlstm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{layer}norm_ffn.weight", "mlp_norm/scale", same(d)),
    Rule(f"{layer}ffn.proj_up_gate.weight", "mlp/gate/kernel", matrix(d, f)),
    Rule(f"{layer}ffn.proj_up.weight", "mlp/up/kernel", matrix(d, f)),
    Rule(f"{layer}ffn.proj_down.weight", "mlp/down/kernel", matrix(f, d)),
    Rule(f"{at}multihead_norm.weight", "mixer/norm/scale", of_heads(heads, value)),
    Rule(f"{at}out_proj.weight", "mixer/out/kernel", from_heads(heads, value, d)),
  ]
  sizes = {"q": key, "k": key, "v": value, "ogate_preact": value}
  for name, size in sizes.items():
    ours = "gate" if name == "ogate_preact" else name
    kernel = to_heads(d, heads, size)
    rules.append(Rule(f"{at}{name}.weight", f"mixer/{ours}/kernel", kernel))
  for theirs, ours in (("i", "input"), ("f", "forget")):
    gate = f"{at}{theirs}gate_preact"
    rules.append(Rule(f"{gate}.weight", f"mixer/{ours}/kernel", matrix(d, heads)))
    rules.append(Rule(f"{gate}.bias", f"mixer/{ours}_bias", same(heads)))
  return rules


FAMILY = Family(
  _CLASSES, to_config, to_settings, outer_rules, layer_rules, prefix="backbone."
)
