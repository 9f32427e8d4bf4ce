"""GPT-NeoX, whose layers Pythia has too.

Source: Black et al. 2022, arXiv:2204.06745, section 2 (attention and MLP side by side,
positions in some channels of a head); Biderman et al. 2023, arXiv:2304.01373 (Pythia).
"""

from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Family, Settings
from jaxmem.interop.layouts import (
  Layout,
  Part,
  Rule,
  biased,
  from_heads,
  matrix,
  same,
)
from jaxmem.interop.lm_settings import (
  check_same,
  layers_of,
  rope_parameters,
  rotary_options,
  shared_settings,
)
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

# What older versions of transformers wrote too.
_DERIVED = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")
# How GELU is computed: transformers' name -> the MLP.
_MLPS = {"gelu": "gelu:approximate=False", "gelu_new": "gelu:approximate=True"}
# How much of a head is rotated where the settings do not say it.
_ROTATED = 0.25


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  activation = settings.get("hidden_act", "gelu")
  if activation not in _MLPS:
    settings.require(hidden_act="gelu")
  heads, d_model = settings["num_attention_heads"], settings["hidden_size"]
  rope = dict(settings.get("rope_parameters", settings.get("rope_scaling", {})))
  rope.setdefault("rope_theta", settings.get("rotary_emb_base", 10_000.0))
  part = rope.get("partial_rotary_factor", settings.get("rotary_pct", _ROTATED))
  layer = pattern.entry(
    "attention",
    num_heads=heads,
    use_bias=settings.get("attention_bias", True),
    rotary_dim=_rotated(d_model // heads, part),
    capacity=settings["max_position_embeddings"],
    **rotary_options(settings.replaced(rope_parameters=rope)),
  )
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=d_model,
    d_ff=settings["intermediate_size"],
    pattern=(layer,),
    num_groups=settings["num_hidden_layers"],
    mlp=_MLPS[activation],
    norm="layer",
    norm_epsilon=settings.get("layer_norm_eps", 1e-5),
    parallel=settings.get("use_parallel_residual", True),
    embedding_scale=1.0,
    tied=settings.get("tie_word_embeddings", False),
  )


def _rotated(size: int, part: float) -> int:
  """How many channels of a head are rotated.

  Raises:
    DataError: if they are no pairs.
  """
  count = int(size * part)
  if count < 2 or count % 2:
    raise DataError(
      f"{part} of a head of {size} channels is {count}: positions rotate pairs"
    )
  return count


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  options = dict(pattern.memory_of(layers[0]).options)
  heads = options.get("num_heads", 4)
  size = config.d_model // heads
  part = {"partial_rotary_factor": (options.get("rotary_dim") or size) / size}
  activations = {ours: theirs for theirs, ours in _MLPS.items()}
  settings = {
    **shared_settings(config, "GPTNeoXForCausalLM", model_type),
    "num_attention_heads": heads,
    "attention_bias": bool(options.get("use_bias", False)),
    "hidden_act": activations.get(config.mlp, "gelu"),
    "max_position_embeddings": options.get("capacity", 2048),
    "layer_norm_eps": config.norm_epsilon,
    "use_parallel_residual": config.parallel,
    "rope_parameters": rope_parameters(options) | part,
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  norm, words = same(config.d_model), same(config.vocab_size, config.d_model)
  rules = [
    Rule("gpt_neox.embed_in.weight", "embedding", words),
    *biased("gpt_neox.final_layer_norm", "norm/scale", norm, norm),
  ]
  return rules if config.tied else [*rules, Rule("embed_out.weight", "head", words)]


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  mixer = pattern.mixer(entry, d, "float32")
  heads, (_, size) = mixer.num_heads, mixer._dims
  at, norm = "gpt_neox.layers.{}.", same(d)
  mlp = f"{at}mlp.dense_"
  rules = [
    *biased(f"{at}input_layernorm", "mixer_norm/scale", norm, norm),
    *biased(f"{at}post_attention_layernorm", "mlp_norm/scale", norm, norm),
    *biased(f"{mlp}h_to_4h", "mlp/up/kernel", matrix(d, f), same(f)),
    *biased(f"{mlp}4h_to_h", "mlp/down/kernel", matrix(f, d), same(d)),
  ]
  out = from_heads(heads, size, d)
  ours = biased(f"{at}attention.dense", "mixer/out/kernel", out, norm)
  all_of = f"{at}attention.query_key_value"  # head by head its q, its k and its v
  weight = Layout((heads, size, d), (heads, size, d), (2, 0, 1), (d, heads, size))
  for i, name in enumerate("qkv"):
    for rule in biased(all_of, f"mixer/{name}/kernel", weight, same(heads, size)):
      inputs = (d,) if rule.name.endswith("weight") else ()
      split = heads, 3 * size, *inputs
      part = Part((heads * 3 * size, *inputs), 1, i * size, (i + 1) * size, split)
      ours.append(rule._replace(source=part))
  return rules + [r for r in ours if mixer.use_bias or r.name.endswith("weight")]


FAMILY = Family(
  {"gpt_neox": "GPTNeoXForCausalLM"},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  prefix="gpt_neox.",
  derived=_DERIVED,
)
