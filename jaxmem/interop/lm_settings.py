"""What the settings of language models share: rotary positions, and a check of them.

A family reads and writes the settings of one model type; see `families`.
"""

import dataclasses
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Settings
from jaxmem.interop.layouts import Rule, same
from jaxmem.layers.attention_heads import Heads
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Block, Entry

# The scalings of rotary positions: transformers' name -> that of a layer.
_SCALINGS = {"default": "none", "linear": "linear", "yarn": "yarn", "llama3": "llama3"}


def rotary_options(settings: Settings) -> dict[str, Any]:
  """Returns the options of rotary positions that the settings describe.

  Raises:
    DataError: if a layer cannot scale them so.
  """
  # transformers 5 has all in rope_parameters, earlier ones had two keys
  rope = settings.get("rope_parameters", settings.get("rope_scaling", {}))
  base = rope.get("rope_theta", settings.get("rope_theta", 10_000.0))
  options: dict[str, Any] = {"rotary_base": float(base)}
  kind = rope.get("rope_type", rope.get("type", "default"))
  if kind not in _SCALINGS:
    raise DataError(f"rope_type {kind!r}: one of {', '.join(_SCALINGS)} can be read")
  if kind == "default":
    return options
  options |= {
    "rotary_scaling": _SCALINGS[kind],
    "rotary_factor": float(rope["factor"]),
  }
  if kind == "llama3":
    options["trained_length"] = rope["original_max_position_embeddings"]
    options["rotary_slow"] = float(rope["low_freq_factor"])
    options["rotary_fast"] = float(rope["high_freq_factor"])
  if kind == "yarn":
    length = settings["max_position_embeddings"]
    options["trained_length"] = rope.get("original_max_position_embeddings", length)
    options["rotary_slow"] = float(rope.get("beta_slow", 1.0))
    options["rotary_fast"] = float(rope.get("beta_fast", 32.0))
    factors = ("mscale", "mscale_all_dim", "attention_factor")
    if any(rope.get(name) is not None for name in factors):
      raise DataError("rope_parameters name the factor of the scores of YaRN")
  return options


def rope_parameters(options: dict[str, Any]) -> dict[str, Any]:
  """Returns the settings of rotary positions; undoes `rotary_options`.

  Args:
    options: of a layer.

  Raises:
    DataError: if it has no such positions.
  """
  if options.get("rotary_base", 10_000.0) is None:
    raise DataError("a layer has no rotary positions (rotary_base=None)")
  kinds = {ours: theirs for theirs, ours in _SCALINGS.items()}
  scaling = options.get("rotary_scaling", "none")
  rope: dict[str, Any] = {
    "rope_type": kinds.get(scaling, scaling),
    "rope_theta": options.get("rotary_base", 10_000.0),
  }
  if scaling != "none":
    rope["factor"] = options["rotary_factor"]
  if scaling in ("llama3", "yarn"):
    rope["original_max_position_embeddings"] = options["trained_length"]
    slow, fast = options["rotary_slow"], options["rotary_fast"]
    names = ("beta_slow", "beta_fast")
    if scaling == "llama3":
      names = ("low_freq_factor", "high_freq_factor")
    rope |= zip(names, (slow, fast), strict=True)
  return rope


# Fields of a config, and options of a layer, that change no number of the model.
_FREE_FIELDS = ("dropout", "remat", "loss_chunk", "dtype", "first", "pattern")
_FREE_OPTIONS = ("capacity", "block_size", "chunk_size", "form", "implementation")


def check_same(config: LMConfig, read: LMConfig, model_type: str) -> None:
  """Checks that settings are read as the model that they were written of.

  Args:
    config: of the model.
    read: the config that its settings describe.
    model_type: of the settings.

  Raises:
    DataError: if the two compute other numbers; names the first difference.
  """
  values = (
    (field.name, getattr(config, field.name), getattr(read, field.name))
    for field in dataclasses.fields(config)
    if field.name not in (*_FREE_FIELDS, "num_groups", "last", "d_ff")
  )
  for name, ours, theirs in values:
    if ours != theirs:
      raise DataError(f"{name} is {ours!r}, and {theirs!r} in every {model_type}")
  for i, (a, b) in enumerate(zip(layers_of(config), layers_of(read), strict=True)):
    if _plain(a, config.d_model) != _plain(b, config.d_model):
      raise DataError(
        f"layer {i} is {pattern.show((a,))}, and a {model_type} would have "
        f"{pattern.show((b,))} there"
      )


def check_layers(config: LMConfig, name: str, model_type: str) -> None:
  """Raises DataError unless every layer of a model is one mixer.

  Args:
    config: of the model.
    name: of the mixer.
    model_type: names the models in the message.
  """
  for entry in layers_of(config):
    if not isinstance(entry, Entry) or entry.name != name:
      raise DataError(f"a layer is {str(entry)!r}: a {model_type} has none")


def shared_settings(
  config: LMConfig, model_class: str, model_type: str
) -> dict[str, Any]:
  """Returns the settings that all language models have under the same names.

  Args:
    config: of the model.
    model_class: the class that reads it.
    model_type: of the settings.
  """
  return {
    "architectures": [model_class],
    "model_type": model_type,
    "vocab_size": config.vocab_size,
    "hidden_size": config.d_model,
    "intermediate_size": config.d_ff or LM(config).d_ff,
    "num_hidden_layers": len(layers_of(config)),
    "tie_word_embeddings": config.tied,
  }


def end_rules(config: LMConfig, embedding: str, norm: str) -> list[Rule]:
  """Returns the tensors around the layers: embedding, last norm and head.

  Args:
    config: of the model.
    embedding: the name of the embedding's tensor, without ".weight".
    norm: that of the norm's scale.
  """
  words = same(config.vocab_size, config.d_model)
  rules = [
    Rule(f"{embedding}.weight", "embedding", words),
    Rule(f"{norm}.weight", "norm/scale", same(config.d_model)),
  ]
  return rules if config.tied else [*rules, Rule("lm_head.weight", "head", words)]


def layers_of(config: LMConfig) -> pattern.Pattern:
  """Returns the layers of a model, in their order."""
  return config.first + config.pattern * config.num_groups + config.last


def options_of(config: LMConfig, name: str) -> dict[str, Any]:
  """Returns all options of the first layer of a name.

  Args:
    config: of a model.
    name: of a mixer.

  Raises:
    DataError: if the model has no such layer.
  """
  for entry in layers_of(config):
    if isinstance(entry, Entry) and entry.name == name:
      mixer = pattern.mixer(entry, config.d_model, "float32")
      return {option: getattr(mixer, option) for option in pattern.options(name)}
  raise DataError(f"no layer of the model is {name}")


def _plain(entry: Entry | Block, d_model: int) -> tuple[str, dict[str, Any]]:
  """A layer with all its options, the free ones left out."""
  if isinstance(entry, Block) or entry.parts:
    return str(entry), {}  # no family names more than a mixer
  try:
    mixer = pattern.mixer(entry, d_model, "float32")
  except ValueError as error:  # a model type may leave the size of a head no choice
    raise DataError(f"{str(entry)!r}: {error}") from error
  names = [name for name in pattern.options(entry.name) if name not in _FREE_OPTIONS]
  values = {name: getattr(mixer, name) for name in names}
  if isinstance(mixer, Heads):  # 0 stands for what follows from the other sizes
    values |= zip(("num_kv_heads", "head_dim"), mixer._dims, strict=True)
  return entry.name, values
