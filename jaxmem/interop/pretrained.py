"""Pretrained models from Hugging Face folders, in and out.

    loaded = load("models/qwen3")
    logits, state = loaded.model.apply({"params": loaded.params}, tokens, state)
    save("models/mine", loaded.model.config, loaded.params, "qwen3")

Tensors are read one by one, each into its place in the arrays of the device, so that a
load needs the memory of the model and of one tensor.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxmem.core import files
from jaxmem.core.errors import DataError
from jaxmem.core.extras import require
from jaxmem.interop.families import Settings, families, family_of, places
from jaxmem.interop.layouts import Rule
from jaxmem.interop.model_folder import SETTINGS, WEIGHTS, ModelFolder, StoredTensor
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry

# Tensors that the settings decide, and that older versions of transformers wrote.
_DERIVED = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")
# How many names a message shows.
_SHOWN = 10


def read(path: str | Path, dtype: str = "float32") -> tuple[LMConfig, dict[str, Any]]:
  """Reads a model of a folder.

  Args:
    path: of the folder.
    dtype: of the parameters and of the computation, "float32" or "bfloat16".

  Returns:
    The config and the parameters, on the default device.

  Raises:
    DataError: if the folder is damaged, or holds a model that cannot be read; names
      what is missing, unknown or misshapen.
  """
  folder = ModelFolder(path)
  name = str(folder.path / SETTINGS)
  _, family = family_of(folder.settings, name)
  config = family.to_config(Settings(folder.settings, name))
  plan = list(_plan(family, config))
  _check(folder.tensors, [(name, rule) for name, rule, *_ in plan], config)
  arrays: dict[str, Array] = {}
  for name, rule, block, row in plan:
    value = rule.layout.to_param(folder.read(name)).astype(jnp.dtype(dtype))
    key = "/".join(filter(None, (block, rule.path)))
    if row is None:
      arrays[key] = jnp.asarray(value)
    else:
      if key not in arrays:
        arrays[key] = jnp.zeros((config.num_groups, *value.shape), value.dtype)
      arrays[key] = _with_row(arrays[key], value, row)
  return _with_dtype(config, dtype), _tree(arrays)


def save(
  out: str | Path, config: LMConfig, params: Mapping[str, Any], model_type: str
) -> None:
  """Writes a model as a folder that transformers reads, in the dtype of the parameters.

  Args:
    out: the folder; what it holds of that name is replaced.
    config: the config of the model.
    params: its parameters.
    model_type: of the settings, such as "llama".

  Raises:
    DataError: if there is no such type, or the model is none of it.
  """
  require("safetensors", extra="interop")
  from safetensors.numpy import save_file

  known = families()
  if model_type not in known:
    raise DataError(f"no model type {model_type!r}: {', '.join(sorted(known))}")
  family = known[model_type]
  settings = family.to_settings(config, model_type)
  tensors = {
    name: np.ascontiguousarray(rule.layout.to_tensor(_at(params, block, rule, row)))
    for name, rule, block, row in _plan(family, config)
  }
  out = Path(out)
  out.mkdir(parents=True, exist_ok=True)
  with files.replacing(out / WEIGHTS) as temporary:
    save_file(tensors, temporary, {"format": "pt"})
  files.write_json(out / SETTINGS, settings, indent=2)


def _plan(family: Any, config: LMConfig) -> Iterator[tuple[str, Rule, str, int | None]]:
  """Yields each tensor's name, its rule, the path of its block, and its row there."""
  for rule in family.outer_rules(config):
    yield rule.name, rule, "", None
  rules: dict[Entry, list[Rule]] = {}
  for layer, (block, row, entry) in enumerate(places(config)):
    if entry not in rules:
      rules[entry] = family.layer_rules(config, entry)
    for rule in rules[entry]:
      yield rule.name.format(layer), rule, block, row


def _check(
  tensors: Mapping[str, StoredTensor], rules: list[tuple[str, Rule]], config: LMConfig
) -> None:
  """Raises DataError for tensors that are missing, unknown or misshapen."""
  expected = dict(rules)
  # a tied head may be written all the same
  extra = {n for n in tensors.keys() - expected.keys() if not n.endswith(_DERIVED)}
  extra -= {"lm_head.weight"} if config.tied else set()
  faults = [f"no {name}" for name in sorted(expected.keys() - tensors.keys())]
  faults += [f"an unknown {name}" for name in sorted(extra)]
  faults += [
    f"{name} of {list(tensors[name].shape)} and not {list(rule.layout.tensor)}"
    for name, rule in expected.items()
    if name in tensors and tensors[name].shape != rule.layout.tensor
  ]
  if faults:
    more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    raise DataError(
      f"the tensors are not those of the settings: {', '.join(faults[:_SHOWN])}{more}"
    )


@functools.partial(jax.jit, donate_argnums=0)
def _with_row(stacked: Array, value: Array, row: Array) -> Array:
  """Replaces a row of an array, in place."""
  return jax.lax.dynamic_update_index_in_dim(stacked, value, row, 0)


def _at(
  params: Mapping[str, Any], block: str, rule: Rule, row: int | None
) -> Shaped[np.ndarray, "..."]:
  """The parameter that a tensor becomes; of a stacked one, its row."""
  leaf: Any = params
  for key in filter(None, f"{block}/{rule.path}".split("/")):
    leaf = leaf[key]
  return np.asarray(leaf if row is None else leaf[row])


def _tree(arrays: Mapping[str, Array]) -> dict[str, Any]:
  """Takes paths apart into nested dictionaries."""
  tree: dict[str, Any] = {}
  for path, array in arrays.items():
    *outer, last = path.split("/")
    leaf = tree
    for key in outer:
      leaf = leaf.setdefault(key, {})
    leaf[last] = array
  return tree


def _with_dtype(config: LMConfig, dtype: str) -> LMConfig:
  return LMConfig(**{**vars(config), "dtype": dtype})
