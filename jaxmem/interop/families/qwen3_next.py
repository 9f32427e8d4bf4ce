"""Qwen3-Next: three layers of Gated DeltaNet, then one of gated attention.

Source: https://qwen.ai/blog?id=4074cca80393150c248e508aa62983f9cb7d27cd (the model);
Yang, Kautz and Hatamizadeh 2024, arXiv:2412.06464 (Gated DeltaNet); Qiu et al. 2025,
arXiv:2505.06708 (gated attention). Its names are those of transformers.
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings, folded
from jaxmem.interop.families.llama import block_rules, outer_rules
from jaxmem.interop.layouts import (
  Layout,
  Part,
  Rule,
  conv_taps,
  from_heads,
  of_heads,
  same,
  to_heads,
)
from jaxmem.interop.lm_settings import (
  check_same,
  layers_of,
  rope_parameters,
  rotary_options,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Block, Entry

CLASSES = {"qwen3_next": "Qwen3NextForCausalLM", "qwen3_5_text": "Qwen3_5ForCausalLM"}
# One layer of so many is attention, and so much of a head is rotated, by default.
_INTERVAL, _ROTATED = 4, 0.25
# Heads that guess the tokens after the next.
FURTHER_HEADS = ("mtp.",)
# How many experts a layer has where the settings of Qwen3-Next do not say it.
_EXPERTS = 512


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(hidden_act="silu")
  _check_dense(settings)
  count = settings["num_hidden_layers"]
  every = settings.get("full_attention_interval", _INTERVAL)
  kinds = settings.get("layer_types") or [
    "linear_attention" if i % every else "full_attention" for i in range(1, count + 1)
  ]
  if len(kinds) != count:
    raise DataError(f"{len(kinds)} layer_types for {count} num_hidden_layers")
  first, repeated, groups = folded([_entry(settings, kind) for kind in kinds])
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=settings["hidden_size"],
    d_ff=settings["intermediate_size"],
    first=first,
    pattern=repeated,
    num_groups=groups,
    norm_epsilon=settings["rms_norm_eps"],
    norm_offset=1.0,
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", False),
  )


def _check_dense(settings: Settings) -> None:
  """Raises DataError if a layer has experts."""
  if settings["model_type"] != "qwen3_next":
    return  # those of Qwen3.5 with experts are another model type
  experts = settings.get("num_experts", _EXPERTS)
  step, dense = settings.get("decoder_sparse_step", 1), settings.get("mlp_only_layers")
  for i in range(settings["num_hidden_layers"]):
    if experts and i not in (dense or ()) and (i + 1) % step == 0:
      raise DataError(
        f"layer {i} has {experts} experts (num_experts): only dense models can be "
        "read, there is no layer of experts"
      )


def _entry(settings: Settings, kind: str) -> Entry:
  """The entry of a layer."""
  epsilon = settings["rms_norm_eps"]
  if kind == "linear_attention":
    return pattern.entry(
      "gated_delta",
      num_heads=settings["linear_num_value_heads"],
      num_key_heads=settings["linear_num_key_heads"],
      key_dim=settings["linear_key_head_dim"],
      value_dim=settings["linear_value_head_dim"],
      conv_size=settings["linear_conv_kernel_dim"],
      norm_epsilon=epsilon,
    )
  if kind != "full_attention":
    raise DataError(f"a layer is {kind!r}: only linear and full attention")
  heads = settings["num_attention_heads"]
  size = settings.get("head_dim", settings["hidden_size"] // heads)
  return pattern.entry(
    "attention",
    num_heads=heads,
    num_kv_heads=settings["num_key_value_heads"],
    head_dim=size,
    qk_norm=True,
    qk_norm_epsilon=epsilon,
    qk_norm_offset=1.0,
    gate=True,
    use_bias=settings.get("attention_bias", False),
    capacity=settings["max_position_embeddings"],
    rotary_dim=_rotated(settings, size),
    **rotary_options(settings),
  )


def _rotated(settings: Settings, size: int) -> int:
  """How many channels of a head are rotated."""
  part = settings.get("partial_rotary_factor", _ROTATED)
  return int(
    size * settings.get("rope_parameters", {}).get("partial_rotary_factor", part)
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  kinds = {"gated_delta": "linear_attention", "attention": "full_attention"}
  options: dict[str, dict[str, Any]] = {name: {} for name in kinds}
  for entry in layers:
    if isinstance(entry, Block) or entry.name not in kinds:
      raise DataError(f"a layer is {str(entry)!r}: a {model_type} has none")
    mixer = pattern.mixer(entry, config.d_model, "float32")
    names = pattern.options(entry.name)
    options[entry.name] = {name: getattr(mixer, name) for name in names}
  delta, attention = options.values()
  if not delta or not attention:
    raise DataError(f"a {model_type} has layers of both gated_delta and attention")
  size = attention["head_dim"]
  rotated = {"partial_rotary_factor": (attention["rotary_dim"] or size) / size}
  settings = {
    **shared_settings(config, CLASSES[model_type], model_type),
    "layer_types": [kinds[entry.name] for entry in layers],
    "num_attention_heads": attention["num_heads"],
    "num_key_value_heads": attention["num_kv_heads"],
    "head_dim": size,
    "attention_bias": attention["use_bias"],
    "linear_num_value_heads": delta["num_heads"],
    "linear_num_key_heads": delta["num_key_heads"],
    "linear_key_head_dim": delta["key_dim"],
    "linear_value_head_dim": delta["value_dim"],
    "linear_conv_kernel_dim": delta["conv_size"],
    "hidden_act": "silu",
    "max_position_embeddings": attention["capacity"],
    "rms_norm_eps": config.norm_epsilon,
    "rope_parameters": rope_parameters(attention) | rotated,
  }
  if model_type == "qwen3_next":
    settings |= {"num_experts": 0}
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  mixer = pattern.mixer(entry, config.d_model, "float32")
  if entry.name == "attention":
    return block_rules(config) + attention_rules(config.d_model, mixer)
  inputs = _grouped_inputs(config.d_model, mixer)
  return block_rules(config) + inputs + delta_rules(config.d_model, mixer)


def attention_rules(d: int, mixer: Any) -> list[Rule]:
  """Returns the tensors of gated attention; those of q hold the gate's too."""
  heads, (kv_heads, size) = mixer.num_heads, mixer._dims
  at = "model.layers.{}.self_attn."
  out = from_heads(heads, size, d)
  rules = [Rule(f"{at}o_proj.weight", "mixer/out/kernel", out)]
  for name in "kv":
    weight = to_heads(d, kv_heads, size)
    rules.append(Rule(f"{at}{name}_proj.weight", f"mixer/{name}/kernel", weight))
  weight = Layout((heads, size, d), (heads, size, d), (2, 0, 1), (d, heads, size))
  for i, name in enumerate(("q", "gate")):
    begin, end = i * size, (i + 1) * size
    both = Part((heads * 2 * size, d), 1, begin, end, (heads, 2 * size, d))
    rules.append(Rule(f"{at}q_proj.weight", f"mixer/{name}/kernel", weight, both))
    if mixer.use_bias:
      both = Part((heads * 2 * size,), 1, begin, end, (heads, 2 * size))
      bias = same(heads, size)
      rules.append(Rule(f"{at}q_proj.bias", f"mixer/{name}/bias", bias, both))
  if mixer.use_bias:
    of_keys = of_heads(kv_heads, size)
    rules += [Rule(f"{at}{n}_proj.bias", f"mixer/{n}/bias", of_keys) for n in "kv"]
    rules.append(Rule(f"{at}o_proj.bias", "mixer/out/bias", same(d)))
  for name in "qk":
    norm = f"{at}{name}_norm.weight"
    rules.append(Rule(norm, f"mixer/{name}_norm/scale", same(size)))
  return rules


def delta_rules(d: int, mixer: Any) -> list[Rule]:
  """Returns the tensors of Gated DeltaNet but those that read the features."""
  heads, _, value = mixer._dims
  at = "model.layers.{}.linear_attn."
  taps = conv_taps(sum(mixer._widths), mixer.conv_size)
  return [
    Rule(f"{at}conv1d.weight", "mixer/conv/taps", taps),
    Rule(f"{at}A_log", "mixer/rate", same(heads)),
    Rule(f"{at}dt_bias", "mixer/step", same(heads)),
    Rule(f"{at}norm.weight", "mixer/norm/scale", same(value)),
    Rule(f"{at}out_proj.weight", "mixer/out/kernel", from_heads(heads, value, d)),
  ]


def _grouped_inputs(d: int, mixer: Any) -> list[Rule]:
  """The two tensors that read the features, each by the heads of the keys."""
  (heads, key, value), groups = mixer._dims, mixer._key_heads
  values, width = heads // groups * value, sum(mixer._widths)
  at, rules = "model.layers.{}.linear_attn.", []

  def add(tensor: str, sizes: dict[str, int]) -> None:
    begin, total = 0, sum(sizes.values())
    joined_at = 0  # in the parameter of q, k and v
    for path, size in sizes.items():
      shape = (groups * total, d)
      source = Part(shape, 1, begin, begin + size, (groups, total, d))
      apart, target = (groups, size, d), None
      param: tuple[int, ...] = (d, groups * size)
      if path in "qkv":
        end = joined_at + groups * size
        target, joined_at = Part((d, width), 1, joined_at, end), end
        path = "qkv"
      if path == "gate":
        param = (d, heads, value)
      layout = Layout(apart, apart, (2, 0, 1), param)
      rules.append(Rule(at + tensor, f"mixer/{path}/kernel", layout, source, target))
      begin += size

  add("in_proj_qkvz.weight", {"q": key, "k": key, "v": values, "gate": values})
  add("in_proj_ba.weight", {"write": heads // groups, "decay": heads // groups})
  return rules


FAMILY = Family(
  {"qwen3_next": CLASSES["qwen3_next"]},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  left_out=FURTHER_HEADS,
)
