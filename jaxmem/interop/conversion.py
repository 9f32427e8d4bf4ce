"""Tensors of a file become the parameters of a model, and parameters tensors.

Tensors are read one by one, each into its place in the arrays of the devices, so that a
load needs the memory of the model and of one tensor.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxmem import models
from jaxmem.core.errors import DataError
from jaxmem.interop import heads
from jaxmem.interop.families import Family, Item, Place, family_of
from jaxmem.interop.gguf_model import GGUFModel
from jaxmem.interop.layouts import Rule, copy
from jaxmem.interop.model_folder import ModelFolder, StoredTensor
from jaxmem.parallel import mesh as meshes

# What tensors are read from.
Source = ModelFolder | GGUFModel
# How many names a message shows.
_SHOWN = 10


def params_of(
  source: Source, config: Any, mesh: jax.sharding.Mesh | None = None
) -> dict[str, Any]:
  """Reads the parameters of a model, in the dtype of the config.

  Args:
    source: the model.
    config: see `pretrained.config_of`; options that change no parameter may differ.
    mesh: see `pretrained.read`.

  Raises:
    DataError: if tensors are missing, unknown, misshapen, or cannot be read.
  """
  _, family = family_of(source.settings, source.name)
  plan = list(_plan(family, config))
  shape_of = functools.partial(_shape, source, family)
  stored_heads, unread = heads.in_folder(family, config, shape_of)
  plan += [(rule.name, rule, None) for head in stored_heads for rule in head.rules]
  tensors = dict(source.tensors)
  for name in unread:
    del tensors[_stored_name(source.tensors, family, name)]
  names = _stored_names(tensors, plan, family, config)
  shardings = _shardings(config, mesh) if mesh else {}
  parts: dict[str, list[tuple[str, Rule, int | None]]] = {}  # of each parameter
  for stored, (_, rule, place) in zip(names, plan, strict=True):
    row = place.row if place else None
    parts.setdefault(_path(rule, place), []).append((stored, rule, row))
  dtype = jnp.dtype(config.dtype)
  arrays = {}
  for path, tensors in parts.items():
    _, first, row = tensors[0]
    shape = first.param_shape
    if row is not None:
      shape = (1 + max(r for _, _, r in tensors if r is not None), *shape)
    values = (
      _stretch(rule, row, rule.to_param(source.read(name)))
      for name, rule, row in tensors
    )
    arrays[path] = _filled(values, shape, dtype, shardings.get(path))
  return _tree(arrays)


def tensors_of(
  family: Family, config: Any, params: Mapping[str, Any]
) -> dict[str, Shaped[np.ndarray, "..."]]:
  """Returns the tensors that the parameters of a model are in a folder.

  Args:
    family: of the model.
    config: its config.
    params: its parameters.
  """
  tensors: dict[str, np.ndarray] = {}
  plan = list(_plan(family, config))
  own_heads = heads.in_params(family, config, params)
  plan += [(rule.name, rule, None) for head in own_heads for rule in head.rules]
  # as transformers names them: a model without a head has no prefix
  bare = bool(family.heads) and all(head.head.suffix == "Model" for head in own_heads)
  for name, rule, place in plan:
    name = name.removeprefix(family.prefix) if bare else name
    param = _at(params, rule, place)
    if name not in tensors:
      tensors[name] = np.empty(rule.tensor_shape, param.dtype)
    rule.write(tensors[name], param)
  return tensors


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
  names = [_stored_name(tensors, family, name) for name, _, _ in plan]
  expected = {name: rule for name, (_, rule, _) in zip(names, plan, strict=True)}
  extra = tensors.keys() - expected.keys()
  unknown = {
    name
    for name in extra
    if not (name.endswith(family.derived) or name.startswith(family.left_out))
  }
  if getattr(config, "tied", False):
    unknown.discard("lm_head.weight")  # a tied head may be written all the same
  faults = [f"no {name}" for name in sorted(expected.keys() - tensors.keys())]
  faults += [f"an unknown {name}" for name in sorted(unknown)]
  faults += [
    f"{name} of {list(tensors[name].shape)} and not {list(rule.tensor_shape)}"
    for name, rule in expected.items()
    if name in tensors and tensors[name].shape != rule.tensor_shape
  ]
  if faults:
    more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    raise DataError(
      f"the tensors are not those of the settings: {', '.join(faults[:_SHOWN])}{more}"
    )
  return names


def _stored_name(tensors: Mapping[str, StoredTensor], family: Family, name: str) -> str:
  """Returns a tensor's name as a folder has it: older, or without the prefix."""
  if family.prefix and not any(n.startswith(family.prefix) for n in tensors):
    name = name.removeprefix(family.prefix)
  for now, before in family.older.items():
    older = name.removesuffix(now) + before
    if name.endswith(now) and name not in tensors and older in tensors:
      return older
  return name


def _shape(source: Source, family: Family, name: str) -> tuple[int, ...] | None:
  """The shape of a tensor of a source, None where there is none."""
  stored = source.tensors.get(_stored_name(source.tensors, family, name))
  return None if stored is None else stored.shape


def _shardings(config: Any, mesh: jax.sharding.Mesh) -> dict[str, Any]:
  """Returns the sharding of each parameter by its path, as training shards it."""
  model = models.make(config)
  if not isinstance(model, models.TrainableModel):
    raise DataError(f"a {models.kind(config)} is not sharded: leave out the mesh")
  example = jax.eval_shape(lambda: model.example(1, 1))
  memory = jax.eval_shape(lambda: model.init_state(1))
  boxed = jax.eval_shape(
    functools.partial(model.init, method="objective"),
    jax.random.key(0),
    example,
    memory,
  )["params"]
  shardings = meshes.shardings(mesh, meshes.param_names(boxed), meshes.unboxed(boxed))
  leaves = jax.tree_util.tree_leaves_with_path(shardings)
  return {jax.tree_util.keystr(k, simple=True, separator="/"): v for k, v in leaves}


def _stretch(
  rule: Rule, row: int | None, value: np.ndarray
) -> tuple[tuple[int, ...], np.ndarray]:
  """A value, with all axes of the parameter, and where it begins on each."""
  return (rule.begins, value) if row is None else ((row, *rule.begins), value[None])


def _filled(
  values: Iterable[tuple[tuple[int, ...], np.ndarray]],
  shape: tuple[int, ...],
  dtype: Any,
  sharding: Any,
) -> Array:
  """Makes a parameter of its parts, each with where it begins, or of all of it."""
  if sharding is None and jax.default_backend() == "cpu":
    host = _aligned(shape, dtype)
    for begins, value in values:
      at = (slice(b, b + n) for b, n in zip(begins, value.shape, strict=True))
      copy(host[tuple(at)], value)  # the only one
    return jax.device_put(host)
  array: Any = None
  for begins, value in values:
    value = value.astype(dtype)
    if value.shape == shape:
      return jax.device_put(value, sharding)
    # on an accelerator the host holds one part at a time
    array = jnp.zeros(shape, dtype, device=sharding) if array is None else array
    array = _with_part(array, value, begins)
  return array


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """An array that begins at a multiple of 64 bytes: JAX takes it without a copy."""
  count = math.prod(shape) * np.dtype(dtype).itemsize
  memory = np.empty(count + 64, np.uint8)
  begin = -memory.ctypes.data % 64
  return memory[begin : begin + count].view(dtype).reshape(shape)


@functools.partial(jax.jit, donate_argnums=0)
def _with_part(array: Array, value: Array, begins: tuple[Array, ...]) -> Array:
  """Replaces a part of an array, in place."""
  return jax.lax.dynamic_update_slice(array, value, begins)


def _path(rule: Rule, place: Place | None) -> str:
  """The path of a parameter."""
  return f"{place.block}/{rule.path}" if place else rule.path


def _at(
  params: Mapping[str, Any], rule: Rule, place: Place | None
) -> Shaped[np.ndarray, "..."]:
  """The parameter that a tensor becomes; of a stacked one, its row."""
  leaf: Any = params
  for key in _path(rule, place).split("/"):
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
