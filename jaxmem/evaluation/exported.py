"""A model of this library, or a pretrained one, as a folder that transformers loads."""

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.core import files
from jaxmem.core.errors import UserError
from jaxmem.interop import addresses, pretrained
from jaxmem.interop.conversion import params_of
from jaxmem.interop.families import Settings, families, family_of
from jaxmem.models import capacity
from jaxmem.tokenizers import folder, ids, trained
from jaxmem.training import source_config
from jaxmem.training.load import Which, load_run

# Writes what a folder has beside its weights and settings; returns the names of files.
_Beside = Callable[[Path], list[str]]

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
  out = Path(out)
  config, params, own, write_beside = _read(address, which, dtype)
  kind = model_type or own or fitting(config)
  pretrained.save(out, config, params, kind)
  count = sum(a.size for a in jax.tree.leaves(params))
  names = "".join(f", {name}" for name in write_beside(out))
  return (
    f"{kind}, {count:,} parameters in {dtype}: wrote config.json, model.safetensors"
    f"{names} in {out}"
  )


def _read(address: str, which: Which, dtype: str) -> tuple[Any, Any, str, _Beside]:
  """Returns config, parameters, the model type if known, and a writer of the rest."""
  if not addresses.is_address(address):
    run = load_run(address, which)
    config, own = _as_begun(run.config.model, Path(address))
    params = jax.tree.map(lambda a: a.astype(jnp.dtype(dtype)), run.params)
    beside = functools.partial(_write_tokenizer, Path(address))
    return dataclasses.replace(config, dtype=dtype), params, own, beside
  source = addresses.find(address)
  config = dataclasses.replace(pretrained.config_of(source), dtype=dtype)
  beside = functools.partial(_copy, source.path)
  return config, params_of(source, config), source.settings["model_type"], beside


def _as_begun(config: Any, workdir: Path) -> tuple[Any, str]:
  """Returns a run's model, and its type, as the pretrained model it began from has it.

  A run has the memory that its texts need: the folder says again how long they may be.
  """
  file = workdir / source_config.SETTINGS_FILE
  if not file.is_file():
    return config, ""
  settings = files.read_json(file)
  kind, family = family_of(settings, str(file))
  source = family.to_config(Settings(settings, str(file)))
  names = [n for n in ("first", "pattern", "last") if hasattr(source, n)]
  own, its = (capacity.fitted(c, 1) for c in (config, source))
  if all(getattr(own, n) == getattr(its, n) for n in names):
    config = dataclasses.replace(config, **{n: getattr(source, n) for n in names})
  return config, kind


def _write_tokenizer(workdir: Path, out: Path) -> list[str]:
  """Writes the tokenizer of a run if it came from a folder; returns files' names."""
  file = workdir / trained.KEPT
  if not file.is_file():
    return []
  content = file.read_bytes()
  value = json.loads(content)
  if isinstance(value, dict) and value.get("jaxmem") == ids.FOLDER:
    return folder.write(content, out)
  if isinstance(value, dict) and "model" in value:  # that of a BERT, as it was
    files.write_bytes(out / trained.KEPT, content)
    return [trained.KEPT]
  return []


def _copy(path: Path, out: Path) -> list[str]:
  """Copies the tokenizer of a folder, and how it writes; returns the files' names."""
  names = [name for name in _BESIDE if (path / name).is_file()]
  for name in names:
    shutil.copyfile(path / name, out / name)
  return names


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
    if not isinstance(config, known[kind].config_class):
      continue
    try:
      known[kind].to_settings(config, kind)
    except UserError:
      continue
    return kind
  raise UserError(
    f"the model is none of the {len(known)} that can be written: --type NAME says what "
    f"sets it apart from one of {', '.join(sorted(known))}"
  )
