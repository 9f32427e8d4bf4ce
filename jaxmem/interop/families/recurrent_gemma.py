"""RecurrentGemma: Griffin's recurrent blocks, and windows of attention between them.

Source: De et al. 2024, arXiv:2402.19427, section 2 (Griffin); Botev et al. 2024,
arXiv:2404.07839 (RecurrentGemma). Its names are those of transformers.
"""

from typing import Any

import jax.numpy as jnp

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.layouts import (
  Layout,
  Rule,
  conv_taps,
  from_heads,
  matrix,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import (
  check_same,
  end_rules,
  layers_of,
  options_of,
  rope_parameters,
  rotary_options,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

_CLASSES = {"recurrent_gemma": "RecurrentGemmaForCausalLM"}
# A kind of layer -> its mixer, and the kinds where the settings do not say them.
_MIXERS = {"recurrent": "rglru", "attention": "window"}
_KINDS = ("recurrent", "recurrent", "attention")
_MLP = "geglu:use_bias=True"


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(
    hidden_activation="gelu_pytorch_tanh", embeddings_scale_by_sqrt_dim=True
  )
  count, kinds = settings["num_hidden_layers"], settings.get("block_types", _KINDS)
  if unknown := set(kinds) - _MIXERS.keys():
    raise DataError(f"block_types has {sorted(unknown)[0]!r}: {', '.join(_MIXERS)}")
  entries = {kind: _entry(settings, kind) for kind in set(kinds)}
  layers = [entries[kind] for kind in (list(kinds) * count)[:count]]
  first, repeated, groups = folded(layers)
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"] // 2,  # it counts gate and up together
    first=first,
    pattern=repeated,
    num_groups=groups,
    mlp=_MLP,
    norm_epsilon=settings.get("rms_norm_eps", 1e-6),
    norm_offset=1.0,
    # the released model keeps the root of D in bfloat16, and multiplies by that
    embedding_scale=float(jnp.bfloat16(settings["hidden_size"] ** 0.5)),
    logit_cap=settings.get("logits_soft_cap", 30.0),
    tied=settings.get("tie_word_embeddings", True),
  )


def _entry(settings: Settings, kind: str) -> Entry:
  """The entry of a layer."""
  heads, width = settings["num_attention_heads"], settings["hidden_size"]
  if kind == "recurrent":
    return pattern.entry(
      "rglru",
      width=settings.get("lru_width", width),
      num_heads=heads,
      conv_size=settings.get("conv1d_width", 4),
      use_bias=True,
      first_unscaled=True,
    )
  rope = settings.get("rope_parameters", {})
  share = settings.get("partial_rotary_factor", 0.5)
  return pattern.entry(
    "window",
    num_heads=heads,
    num_kv_heads=settings.get("num_key_value_heads", heads),
    head_dim=width // heads,
    window_size=settings["attention_window_size"],
    use_bias=settings.get("attention_bias", False),
    out_bias=True,
    rotary_dim=int(width // heads * rope.get("partial_rotary_factor", share)),
    **rotary_options(settings),
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  kinds = {mixer: kind for kind, mixer in _MIXERS.items()}
  for entry in layers:
    if not isinstance(entry, Entry) or entry.name not in kinds:
      raise DataError(f"a layer is {str(entry)!r}: a {model_type} has none")
  recurrent, window = (options_of(config, name) for name in kinds)
  heads = window["num_heads"]
  size = window["head_dim"] or config.d_model // heads
  share = {"partial_rotary_factor": (window["rotary_dim"] or size) / size}
  settings: dict[str, Any] = {
    "architectures": [_CLASSES[model_type]],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "hidden_size": config.d_model,
    "intermediate_size": 2 * (config.d_ff or LM(config).d_ff),
    "num_hidden_layers": len(layers),
    "block_types": [kinds[pattern.memory_of(entry).name] for entry in layers],
    "num_attention_heads": heads,
    "num_key_value_heads": window["num_kv_heads"] or heads,
    "attention_window_size": window["window_size"],
    "attention_bias": window["use_bias"],
    "lru_width": recurrent["width"],
    "conv1d_width": recurrent["conv_size"],
    "hidden_activation": "gelu_pytorch_tanh",
    "logits_soft_cap": config.logit_cap,
    "rms_norm_eps": config.norm_epsilon,
    "rope_parameters": rope_parameters(window) | share,
    "tie_word_embeddings": config.tied,
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  return end_rules(config, "model.embed_tokens", "model.final_norm")


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  mixer, layer = pattern.mixer(entry, d, "float32"), "model.layers.{}."
  rules = [
    Rule(f"{layer}temporal_pre_norm.weight", "mixer_norm/scale", same(d)),
    Rule(f"{layer}channel_pre_norm.weight", "mlp_norm/scale", same(d)),
  ]
  for name, inputs, outputs in (("gate", d, f), ("up", d, f), ("down", f, d)):
    at = f"{layer}mlp_block.{name}_proj"
    rules += _linear(at, f"mlp/{name}", matrix(inputs, outputs), same(outputs))
  if entry.name == "rglru":
    return rules + _recurrent_rules(d, mixer)
  return rules + _attention_rules(d, mixer)


def _recurrent_rules(d: int, mixer: Any) -> list[Rule]:
  """The tensors of a recurrent block."""
  at = "model.layers.{}.temporal_block."
  width, heads, taps = mixer._width, mixer.num_heads, mixer.conv_size
  size = width // heads
  # their decay is sigmoid(-recurrent_param)^(8 r)
  decay = same(width)._replace(negative=True)
  rules = [
    *_linear(f"{at}linear_y", "mixer/gate", matrix(d, width), same(width)),
    *_linear(f"{at}linear_x", "mixer/in", matrix(d, width), same(width)),
    *_linear(f"{at}linear_out", "mixer/out", matrix(width, d), same(d)),
    Rule(f"{at}conv_1d.weight", "mixer/conv/taps", conv_taps(width, taps)),
    Rule(f"{at}conv_1d.bias", "mixer/conv/bias", same(width)),
    Rule(f"{at}rg_lru.recurrent_param", "mixer/decay", decay),
  ]
  bias = Layout((heads, size), (heads, size), (0, 1), (width,))
  for theirs, ours in (("input", "input"), ("recurrent", "recurrence")):
    gate, path = f"{at}rg_lru.{theirs}_gate", f"mixer/{ours}_gate"
    rules.append(Rule(f"{gate}_weight", f"{path}_kernel", same(heads, size, size)))
    rules.append(Rule(f"{gate}_bias", f"{path}_bias", bias))
  return rules


def _attention_rules(d: int, mixer: Any) -> list[Rule]:
  """The tensors of a window of attention."""
  at = "model.layers.{}.temporal_block."
  heads, (kv_heads, size) = mixer.num_heads, mixer._dims
  out = from_heads(heads, size, d)
  rules = _linear(f"{at}o_proj", "mixer/out", out, same(d))
  for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
    bias = of_heads(count, size) if mixer.use_bias else None
    kernel = to_heads(d, count, size)
    rules += _linear(f"{at}{name}_proj", f"mixer/{name}", kernel, bias)
  return rules


def _linear(name: str, path: str, kernel: Layout, bias: Layout | None) -> list[Rule]:
  """The tensors of a linear map, whose bias may be missing."""
  rules = [Rule(f"{name}.weight", f"{path}/kernel", kernel)]
  return [*rules, Rule(f"{name}.bias", f"{path}/bias", bias)] if bias else rules


FAMILY = Family(
  _CLASSES, to_config, to_settings, outer_rules, layer_rules, prefix="model."
)
