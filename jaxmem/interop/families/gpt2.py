"""GPT-2.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
section 2.3. Its linear maps have inputs before outputs, unlike those of other models.
"""

from typing import Any

from jaxmem.interop.families import Family, Settings
from jaxmem.interop.layouts import Layout, Part, Rule, biased, of_heads, same
from jaxmem.interop.lm_settings import check_same, layers_of
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry

# What older versions of transformers wrote too.
_DERIVED = ("attn.bias", "attn.masked_bias")
# How GELU is computed: transformers' name -> the MLP.
_MLPS = {"gelu_new": "gelu:approximate=True", "gelu": "gelu:approximate=False"}


def to_config(settings: Settings) -> LMConfig:
  """Returns the config that the settings describe.

  Raises:
    DataError: if they describe a model that the layers cannot be.
  """
  settings.require(
    scale_attn_weights=True,
    scale_attn_by_inverse_layer_idx=False,
    add_cross_attention=False,
  )
  activation = settings.get("activation_function", "gelu_new")
  if activation not in _MLPS:
    settings.require(activation_function="gelu_new")
  length, d_model = settings["n_positions"], settings["n_embd"]
  layer = pattern.entry(
    "attention",
    num_heads=settings["n_head"],
    use_bias=True,
    rotary_base=None,
    capacity=length,
  )
  return LMConfig(
    vocab_size=settings["vocab_size"],
    d_model=d_model,
    d_ff=settings.get("n_inner", 4 * d_model),
    pattern=(layer,),
    num_groups=settings["n_layer"],
    mlp=_MLPS[activation],
    norm="layer",
    norm_epsilon=settings.get("layer_norm_epsilon", 1e-5),
    embedding_scale=1.0,
    positions=length,
    tied=settings.get("tie_word_embeddings", True),
  )


def to_settings(config: LMConfig, model_type: str) -> dict[str, Any]:
  """Returns the settings of a model; `to_config` of them gives it back.

  Raises:
    DataError: if the model is none of this type.
  """
  layers = layers_of(config)
  activations = {ours: theirs for theirs, ours in _MLPS.items()}
  settings = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "n_positions": config.positions,
    "n_embd": config.d_model,
    "n_layer": len(layers),
    "n_head": dict(pattern.memory_of(layers[0]).options).get("num_heads", 4),
    "n_inner": config.d_ff or LM(config).d_ff,
    "activation_function": activations.get(config.mlp, "gelu_new"),
    "layer_norm_epsilon": config.norm_epsilon,
    "tie_word_embeddings": config.tied,
  }
  check_same(config, to_config(Settings(settings, "the model")), model_type)
  return settings


def outer_rules(config: LMConfig) -> list[Rule]:
  """Returns the tensors around the layers."""
  d = config.d_model
  words = same(config.vocab_size, d)
  rules = [
    Rule("transformer.wte.weight", "embedding", words),
    Rule("transformer.wpe.weight", "positions", same(config.positions, d)),
    *biased("transformer.ln_f", "norm/scale", same(d), same(d)),
  ]
  return rules if config.tied else [*rules, Rule("lm_head.weight", "head", words)]


def layer_rules(config: LMConfig, entry: Entry) -> list[Rule]:
  """Returns the tensors of a layer."""
  d, f = config.d_model, config.d_ff or LM(config).d_ff
  mixer = pattern.mixer(entry, d, "float32")
  heads, (_, size) = mixer.num_heads, mixer._dims
  at = "transformer.h.{}."
  to_heads = Layout((d, d), (d, heads, size), (0, 1, 2), (d, heads, size))
  from_heads = Layout((d, d), (heads, size, d), (0, 1, 2), (heads, size, d))
  rules = [
    *biased(f"{at}ln_1", "mixer_norm/scale", same(d), same(d)),
    *biased(f"{at}ln_2", "mlp_norm/scale", same(d), same(d)),
    *biased(f"{at}attn.c_proj", "mixer/out/kernel", from_heads, same(d)),
    *biased(f"{at}mlp.c_fc", "mlp/up/kernel", same(d, f), same(f)),
    *biased(f"{at}mlp.c_proj", "mlp/down/kernel", same(f, d), same(d)),
  ]
  for i, name in enumerate("qkv"):  # one tensor has all three
    begin, end = i * d, (i + 1) * d
    weight, bias = Part((d, 3 * d), 1, begin, end), Part((3 * d,), 0, begin, end)
    all_of, ours = f"{at}attn.c_attn", f"mixer/{name}"
    rules.append(Rule(f"{all_of}.weight", f"{ours}/kernel", to_heads, weight))
    rules.append(Rule(f"{all_of}.bias", f"{ours}/bias", of_heads(heads, size), bias))
  return rules


FAMILY = Family(
  {"gpt2": "GPT2LMHeadModel"},
  to_config,
  to_settings,
  outer_rules,
  layer_rules,
  prefix="transformer.",
  derived=_DERIVED,
)
