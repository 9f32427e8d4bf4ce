"""A model of this library, or a pretrained one, as a folder that transformers loads."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.core.errors import UserError
from jaxmem.interop import addresses, pretrained
from jaxmem.interop.conversion import params_of
from jaxmem.interop.families import families
from jaxmem.interop.model_folder import ModelFolder
from jaxmem.training.load import Which, load_run

# What a folder has beside its weights and settings: its tokenizer, and how it writes.
_BESIDE = (
  "generation_config.json", "tokenizer.json", "tokenizer_config.json",
  "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
  "vocab.txt", "merges.txt", "chat_template.jinja",
)  # fmt: skip


def write(
  address: str,
  out: str | Path,
  which: Which = "last",
  model_type: str = "",
  dtype: str = "float32",
) -> str:
  """Writes the folder of a model.

  Args:
    address: the work directory of a run, or see `interop.addresses`.
    out: the folder; what it holds of those names is replaced.
    which: of a run, "last", or "best" on the held-out data.
    model_type: of the settings; empty is that of the folder that was read, or the first
      that fits.
    dtype: of the tensors, "float32" or "bfloat16".

  Returns:
    A line about what was written.

  Raises:
    UserError: if there is no such model, or transformers has none like it.
  """
  config, params, own, beside = _read(address, which, dtype)
  kind = model_type or own or fitting(config)
  pretrained.save(out, config, params, kind)
  for path in beside:
    shutil.copyfile(path, Path(out) / path.name)
  count = sum(a.size for a in jax.tree.leaves(params))
  names = f", {', '.join(path.name for path in beside)}" if beside else ""
  return (
    f"{kind}, {count:,} parameters in {dtype}: wrote config.json, model.safetensors"
    f"{names} in {out}"
  )


def _read(address: str, which: Which, dtype: str) -> tuple[Any, Any, str, list[Path]]:
  """Returns config, parameters, the model type if it is known, and files beside."""
  if not addresses.is_address(address):
    run = load_run(address, which)
    config = dataclasses.replace(run.config.model, dtype=dtype)
    params = jax.tree.map(lambda a: a.astype(jnp.dtype(dtype)), run.params)
    return config, params, "", []
  source = addresses.find(address)
  config = dataclasses.replace(pretrained.config_of(source), dtype=dtype)
  beside = []
  if isinstance(source, ModelFolder):
    beside = [source.path / name for name in _BESIDE if (source.path / name).is_file()]
  return config, params_of(source, config), source.settings["model_type"], beside


def fitting(config: Any) -> str:
  """Returns the first model type of transformers that a config is.

  Args:
    config: of a model.

  Raises:
    UserError: if there is none.
  """
  known = families()
  # a model that is a Llama is often one of its relatives, too
  for kind in sorted(known, key=lambda kind: (kind != "llama", kind)):
    try:
      known[kind].to_settings(config, kind)
    except (UserError, AttributeError):  # a config of another class lacks its fields
      continue
    return kind
  raise UserError(
    f"the model is none of the {len(known)} that can be written: --type NAME says what "
    f"sets it apart from one of {', '.join(sorted(known))}"
  )
