"""Pretrained models from Hugging Face folders, in and out.

    config, params = read("models/qwen3")
    logits, state = LM(config).apply({"params": params}, tokens, state)
    save("models/mine", config, params, "qwen3")

Tensors are read one by one, each into its place in the arrays of the device, so that a
load needs the memory of the model and of one tensor.
"""

import dataclasses
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
from jaxmem.interop.families import Family, Item, Place, Settings, families, family_of
from jaxmem.interop.layouts import Rule
from jaxmem.interop.model_folder import SETTINGS, WEIGHTS, ModelFolder, StoredTensor

# How many names a message shows.
_SHOWN = 10


def read(path: str | Path, dtype: str = "float32") -> tuple[Any, dict[str, Any]]:
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
  names = _stored_names(folder.tensors, plan, family, config)
  arrays: dict[str, Array] = {}
  for stored, (_, rule, place) in zip(names, plan, strict=True):
    value = rule.layout.to_param(folder.read(stored)).astype(jnp.dtype(dtype))
    if place is None:
      arrays[rule.path] = jnp.asarray(value)
      continue
    key = f"{place.block}/{rule.path}"
    if place.row is None:
      arrays[key] = jnp.asarray(value)
    else:
      if key not in arrays:
        arrays[key] = jnp.zeros((config.num_groups, *value.shape), value.dtype)
      arrays[key] = _with_row(arrays[key], value, place.row)
  return dataclasses.replace(config, dtype=dtype), _tree(arrays)


def save(
  out: str | Path, config: Any, params: Mapping[str, Any], model_type: str
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
    name: np.ascontiguousarray(rule.layout.to_tensor(_at(params, rule, place)))
    for name, rule, place in _plan(family, config)
  }
  out = Path(out)
  out.mkdir(parents=True, exist_ok=True)
  with files.replacing(out / WEIGHTS) as temporary:
    save_file(tensors, temporary, {"format": "pt"})
  files.write_json(out / SETTINGS, settings, indent=2)


def _plan(family: Family, config: Any) -> Iterator[tuple[str, Rule, Place | None]]:
  """Yields each tensor's name, its rule, and the place of its layer, if it has one."""
  for rule in family.outer_rules(config):
    yield rule.name, rule, None
  rules: dict[Item, list[Rule]] = {}
  for place in family.places(config):
    if place.entry not in rules:
      rules[place.entry] = family.layer_rules(config, place.entry)
    for rule in rules[place.entry]:
      yield rule.name.format(place.number), rule, place


def _stored_names(
  tensors: Mapping[str, StoredTensor],
  plan: list[tuple[str, Rule, Place | None]],
  family: Family,
  config: Any,
) -> list[str]:
  """Returns the names of a plan's tensors as a folder has them.

  Raises:
    DataError: for tensors that are missing, unknown or misshapen.
  """
  bare = bool(family.prefix) and not any(n.startswith(family.prefix) for n in tensors)
  names = [n.removeprefix(family.prefix) if bare else n for n, _, _ in plan]
  expected = {name: rule for name, (_, rule, _) in zip(names, plan, strict=True)}
  extra = tensors.keys() - expected.keys()
  unknown = {name for name in extra if not name.endswith(family.derived)}
  if getattr(config, "tied", False):
    unknown.discard("lm_head.weight")  # a tied head may be written all the same
  faults = [f"no {name}" for name in sorted(expected.keys() - tensors.keys())]
  faults += [f"an unknown {name}" for name in sorted(unknown)]
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
  return names


@functools.partial(jax.jit, donate_argnums=0)
def _with_row(stacked: Array, value: Array, row: Array) -> Array:
  """Replaces a row of an array, in place."""
  return jax.lax.dynamic_update_index_in_dim(stacked, value, row, 0)


def _at(
  params: Mapping[str, Any], rule: Rule, place: Place | None
) -> Shaped[np.ndarray, "..."]:
  """The parameter that a tensor becomes; of a stacked one, its row."""
  leaf: Any = params
  path = f"{place.block}/{rule.path}" if place else rule.path
  for key in path.split("/"):
    leaf = leaf[key]
  return np.asarray(leaf if place is None or place.row is None else leaf[place.row])


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
