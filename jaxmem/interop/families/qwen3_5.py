"""The text models of Qwen3.5: Qwen3-Next with a tensor for each input of a layer.

Source: see `families.qwen3_next`.
"""

from jaxmem.interop.families import Family
from jaxmem.interop.families.llama import block_rules, outer_rules
from jaxmem.interop.families.qwen3_next import (
  CLASSES,
  FURTHER_HEADS,
  attention_rules,
  delta_rules,
  to_config,
  to_settings,
)
from jaxmem.interop.layouts import Rule, matrix, to_heads
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d = config.d_model
  mixer = pattern.mixer(entry, d, "float32")
  if entry.name == "attention":
    return block_rules(config) + attention_rules(d, mixer)
  heads, _, value = mixer._dims
  layouts = {
    "qkv": matrix(d, sum(mixer._widths)),
    "z": to_heads(d, heads, value),
    "b": matrix(d, heads),
    "a": matrix(d, heads),
  }
  names = {"qkv": "qkv", "z": "gate", "b": "write", "a": "decay"}
  at = "model.layers.{}.linear_attn.in_proj_"
  inputs = [
    Rule(f"{at}{name}.weight", f"mixer/{names[name]}/kernel", layout)
    for name, layout in layouts.items()
  ]
  return block_rules(config) + inputs + delta_rules(d, mixer)


FAMILY = Family(
  {"qwen3_5_text": CLASSES["qwen3_5_text"]},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  left_out=FURTHER_HEADS,
)
