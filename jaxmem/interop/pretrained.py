"""Pretrained models of others, in and out: Hugging Face folders and GGUF files.

    config, params = read("models/qwen3")
    logits, state = LM(config).apply({"params": params}, tokens, state)
    save("models/mine", config, params, "qwen3")

`addresses` says what can be read, `conversion` how tensors become parameters.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxmem import models
from jaxmem.core import files
from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.interop import addresses, heads, memories
from jaxmem.interop.conversion import Source, params_of, tensors_of
from jaxmem.interop.families import Settings, families, family_of
from jaxmem.interop.gguf_model import GGUFModel
from jaxmem.interop.model_folder import INDEX, SETTINGS, WEIGHTS
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded
from jaxmem.tokenizers import Tokenizer

# What parameters and the computation can be in.
DTYPES = ("float32", "bfloat16")


def read(
  path: str | Path, dtype: str = "float32", mesh: jax.sharding.Mesh | None = None
) -> tuple[Any, dict[str, Any]]:
  """Reads a model.

  Args:
    path: its address, see `addresses`.
    dtype: of the parameters and of the computation, "float32" or "bfloat16".
    mesh: the devices over which parameters are sharded, as in training; None puts them
      on the default device.

  Returns:
    The config and the parameters.

  Raises:
    DataError: if the model is damaged, or of a kind that cannot be read; names what is
      missing, unknown or misshapen.
    UserError: see `addresses.find`.
  """
  check_dtype(dtype)
  source = addresses.find(path)
  config = dataclasses.replace(config_of(source), dtype=dtype)
  return config, params_of(source, config, mesh)


def config_of(source: Source) -> Any:
  """Returns the config that the settings of a model describe.

  Args:
    source: the model.

  Raises:
    DataError: if they describe a model that cannot be read.
  """
  _, family = family_of(source.settings, source.name)
  return family.to_config(Settings(source.settings, source.name))


def lm_config_of(source: Source) -> LMConfig:
  """Returns the config of a language model.

  Args:
    source: the model.

  Raises:
    DataError: if it is none, or see `config_of`.
  """
  config = config_of(source)
  if not isinstance(config, LMConfig):
    raise DataError(
      f"{source.path} is a model of type {source.settings['model_type']!r}, no "
      "language model: pretrained.read reads it, and --init-from begins from it"
    )
  return config


def load(
  address: str | Path,
  memory: str = "attention",
  dtype: str = "float32",
  **options: Any,
) -> Loaded:
  """Loads a language model with its tokenizer.

      smollm = load("smollm2", memory="window", window_size=64)
      logits, state = smollm.model.apply({"params": smollm.params}, tokens, state)

  `jaxmem.load` gives the same with methods, and models of other kinds.

  Args:
    address: see `addresses`.
    memory: what the model's full attention becomes, "attention" or "window", with its
      options behind colons or as `options`.
    dtype: of the parameters and of the computation, "float32" or "bfloat16".
    **options: of the memory.

  Raises:
    DataError: if there is no such model, or it is no language model.
  """
  check_dtype(dtype)
  entry = None
  if options or memory != "attention":
    text = str(pattern.entry(memory, **options)) if options else memory
    entry = memories.parse(text)
  source = addresses.find(address)
  config = dataclasses.replace(lm_config_of(source), dtype=dtype)
  config = memories.replace(config, entry) if entry else config
  config = memories.bounded(config, entry)
  tokenizer = tokenizer_of(source, config)
  return Loaded(None, LM(config), params_of(source, config), tokenizer, 0)


def check_dtype(dtype: str) -> None:
  """Raises DataError unless parameters can have the dtype."""
  if dtype not in DTYPES:
    raise DataError(f"dtype {dtype!r}: it is one of {', '.join(DTYPES)}")


def tokenizer_of(source: Source, config: Any) -> Tokenizer:
  """Reads the tokenizer of a model.

  Args:
    source: the model.
    config: its config, whose embedding has a row for each id.

  Raises:
    DataError: if it has none, one that cannot be read, or one of another model.
  """
  if isinstance(source, GGUFModel):
    from jaxmem.tokenizers import gguf_file

    tokenizer: Tokenizer = gguf_file.tokenizer(source.metadata, source.name)
  else:
    from jaxmem.tokenizers import folder

    tokenizer = folder.load(source.path)
  if tokenizer.vocab_size > config.vocab_size:
    raise DataError(
      f"the tokenizer of {source.path} has {tokenizer.vocab_size:,} ids, and its "
      f"embedding {config.vocab_size:,} rows: the files are of different models"
    )
  return tokenizer


def save(
  out: str | Path,
  config: Any,
  params: Mapping[str, Any],
  model_type: str,
  carried: Mapping[str, Any] | None = None,
) -> None:
  """Writes a model as a folder that transformers reads, in the dtype of the parameters.

  Args:
    out: the folder; what it holds of that name is replaced.
    config: the config of the model.
    params: its parameters.
    model_type: of the settings, such as "llama".
    carried: settings that are written as they are, such as the ids of special tokens.

  Raises:
    DataError: if there is no such type, or the model is none of it.
  """
  require("safetensors", extra="interop")
  from safetensors.numpy import save_file

  known = families()
  if model_type not in known:
    raise DataError(f"no model type {model_type!r}: {', '.join(sorted(known))}")
  family = known[model_type]
  if not isinstance(config, family.config_class):
    raise DataError(f"a {models.kind(config)} is no {model_type}")
  settings = family.to_settings(config, model_type)
  if family.heads:
    own_heads = heads.in_params(family, config, params)
    settings |= heads.settings(family, model_type, own_heads)
  tensors = tensors_of(family, config, params)
  out = Path(out)
  out.mkdir(parents=True, exist_ok=True)
  with files.replacing(out / WEIGHTS) as temporary:
    save_file(tensors, temporary, {"format": "pt"})
  (out / INDEX).unlink(missing_ok=True)  # of the shards of another model
  dtype = str(next(iter(tensors.values())).dtype)
  files.write_json(
    out / SETTINGS, settings | {"dtype": dtype, **(carried or {})}, indent=2
  )
  # safetensors lets the owner alone read what it writes
  shutil.copymode(out / SETTINGS, out / WEIGHTS)
