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
  "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
  "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
  "merges.txt", "chat_template.jinja", "additional_chat_templates/*.jinja",
  "modules.json", "sentence_bert_config.json", "*_Pooling/config.json",
)  # fmt: skip
# Settings that say nothing of the layers, and are written as they were read.
_CARRIED = (
  "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
  "problem_type",
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
  config, params, read, write_beside = _read(address, which, dtype)
  kind = model_type or read.get("model_type") or fitting(config)
  carried = {k: read[k] for k in (*_CARRIED, *_labels(read, params)) if k in read}
  pretrained.save(out, config, params, kind, carried)
  count = sum(a.size for a in jax.tree.leaves(params))
  names = "".join(f", {name}" for name in write_beside(out)) or ", and no tokenizer,"
  return (
    f"{kind}, {count:,} parameters in {dtype}: wrote config.json, model.safetensors"
    f"{names} in {out}"
  )


def _labels(settings: dict[str, Any], params: Any) -> tuple[str, ...]:
  """The settings that name classes, if the head has as many."""
  head = params.get("head")  # of classes, or the table of a language model
  count = len(settings.get("id2label") or ())
  is_counted = isinstance(head, dict) and "bias" in head and len(head["bias"]) == count
  return ("id2label", "label2id") if is_counted else ()


def _read(
  address: str, which: Which, dtype: str
) -> tuple[Any, Any, dict[str, Any], _Beside]:
  """Returns config, parameters, settings that were read, and a writer of the rest."""
  if not addresses.is_address(address):
    run = load_run(address, which)
    config, own = _as_begun(run.config.model, Path(address))
    params = jax.tree.map(lambda a: a.astype(jnp.dtype(dtype)), run.params)
    beside = functools.partial(_write_tokenizer, Path(address))
    return dataclasses.replace(config, dtype=dtype), params, own, beside
  source = addresses.find(address)
  config = dataclasses.replace(pretrained.config_of(source), dtype=dtype)
  beside = functools.partial(_copy, source.path)
  return config, params_of(source, config), dict(source.settings), beside


def _as_begun(config: Any, workdir: Path) -> tuple[Any, dict[str, Any]]:
  """Returns a run's model and settings as the pretrained model it began from has them.

  A run has the memory that its texts need: the folder says again how long they may be.
  """
  file = workdir / source_config.SETTINGS_FILE
  if not file.is_file():
    return config, {}
  settings = files.read_json(file)
  _, family = family_of(settings, str(file))
  source = family.to_config(Settings(settings, str(file)))
  names = [n for n in ("first", "pattern", "last") if hasattr(source, n)]
  own, its = (capacity.fitted(c, 1) for c in (config, source))
  if all(getattr(own, n) == getattr(its, n) for n in names):
    config = dataclasses.replace(config, **{n: getattr(source, n) for n in names})
  return config, settings


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
  if not path.is_dir():  # a file holds its tokenizer itself
    return []
  found = [file for pattern in _BESIDE for file in sorted(path.glob(pattern))]
  for file in found:
    copy = out / file.relative_to(path)
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(file, copy)
  return [str(file.relative_to(path)) for file in found]


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
