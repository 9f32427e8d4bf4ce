"""Meshes of devices, and rules from logical axis names to mesh axes."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import jax
from flax import linen as nn
from flax import struct
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from jaxmem.core.errors import UserError
from jaxmem.core.registry import nearest

AXES = ("data", "fsdp", "seq", "tensor")

# How attention reads across shards of time; see `sharded_timeline.ShardedTimeline`.
LAYOUTS = ("auto", "ring", "ulysses")

# The ambient layout of attention, a context of JAX: jit compiles anew where it differs.
attention_layout = jax.make_user_context("auto")

# Logical name -> mesh axis or axes. Time is cut in order: recurrences need that, so the
# zigzag order of ring attention exists only inside of it.
RULES: dict[str, Any] = {
  "batch": ("data", "fsdp"),
  "time": "seq",
  "layers": None,
  "embed": "fsdp",
  "heads": "tensor",
  "head_dim": None,
  "key": None,
  "value": None,
  "mlp": "tensor",
  "vocab": "tensor",
  "slots": None,
  "window": None,
}


class MeshError(UserError):
  """The mesh does not fit the devices, or an array does not fit the mesh."""


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How many devices the mesh has along each axis; -1 on one axis takes all others.

  Attributes:
    data: copies of the parameters, each with its rows of the batch.
    fsdp: parts of the parameters, gathered where used; also cuts the batch.
    tensor: parts of heads, MLPs and vocabulary.
    seq: parts of a segment's time; `parallel.apply` carries memories across them.
    attention: how attention of long reach reads across those parts: "ring", "ulysses"
      or "auto", see `sharded_timeline.ShardedTimeline`.
  """

  data: int = -1
  fsdp: int = 1
  tensor: int = 1
  seq: int = 1
  attention: str = "auto"


def make(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
  """Returns the mesh of a config, over all devices of all processes.

  Args:
    config: devices along each axis.
    devices: devices of the mesh; None takes all of all processes.

  Raises:
    MeshError: if the axes do not multiply to the number of devices, or there is no such
      layout of attention.
  """
  if config.attention not in LAYOUTS:
    raise MeshError(
      f"mesh.attention {config.attention!r}: it is one of {', '.join(LAYOUTS)}; any "
      "other order of time would be wrong for a recurrence"
    )
  devices = jax.devices() if devices is None else devices
  sizes = {axis: getattr(config, axis) for axis in AXES}
  free = [axis for axis, size in sizes.items() if size == -1]
  fixed = math.prod(size for size in sizes.values() if size != -1)
  if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
    raise MeshError(f"mesh {sizes}: sizes are >= 1, and one of them may be -1")
  if free:
    sizes[free[0]] = len(devices) // fixed
  if math.prod(sizes.values()) != len(devices):
    raise MeshError(
      f"mesh {sizes} needs {math.prod(sizes.values()) or fixed} devices, there are "
      f"{len(devices)}: change --mesh.data, --mesh.fsdp, --mesh.seq or --mesh.tensor"
    )
  # Auto: the compiler places arrays; Explicit, the default, wants one at every gather
  return jax.make_mesh(
    tuple(sizes.values()),
    AXES,
    axis_types=(AxisType.Auto,) * len(AXES),
    devices=devices,
  )


def device_memory() -> int:
  """Returns the bytes of memory of a device of this process, 0 where not known.

  The devices of a CPU share the memory of the machine.
  """
  devices = jax.local_devices()
  # `memory_stats` is None on backends without an allocator of their own
  limit = (devices[0].memory_stats() or {}).get("bytes_limit", 0)
  if limit or devices[0].platform != "cpu" or not hasattr(os, "sysconf"):
    return limit
  pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return pages // len(devices)


@contextlib.contextmanager
def use(mesh: Mesh, config: MeshConfig) -> Iterator[None]:
  """Sets the ambient mesh and the ambient layout of attention inside a context.

  Args:
    mesh: the devices.
    config: the config that the mesh was made from.
  """
  with jax.set_mesh(mesh), attention_layout(config.attention):
    yield


def partition(
  names: tuple[str | None, ...], rules: dict[str, Any] = RULES
) -> PartitionSpec:
  """Returns the mesh axes for the logical names of an array's axes.

  Args:
    names: one for each axis; an axis named None is not cut.
    rules: logical name -> mesh axis or axes.

  Raises:
    MeshError: for a name without a rule, or two axes on one mesh axis.
  """
  axes = []
  for name in names:
    if name is not None and name not in rules:
      raise MeshError(f"no rule for {name!r} in {names}: {nearest(name, list(rules))}")
    axes.append(None if name is None else rules[name])
  used = [
    a for axis in axes for a in (axis if isinstance(axis, tuple) else (axis,)) if a
  ]
  if len(used) != len(set(used)):
    raise MeshError(f"{names} puts two axes of one array on one mesh axis: {axes}")
  return PartitionSpec(*axes)


class Declared(nn.LogicallyPartitioned):
  """The box of a parameter: names of its axes, and whether weight decay acts on it.

  Attributes:
    decay: None where the layer does not say; see `jaxmem.training.optimizer.decays`.
  """

  decay: bool | None = struct.field(default=None, pytree_node=False)

  # the `__eq__` that the dataclass would get compares arrays, which has no truth value
  __eq__ = nn.LogicallyPartitioned.__eq__


class Names(tuple):
  """The logical names of a parameter's axes, and its declaration about weight decay.

  Attributes:
    decay: see `Declared`.
  """

  decay: bool | None

  def __new__(cls, axes: Iterable[str | None], decay: bool | None = None) -> "Names":
    names = super().__new__(cls, axes)
    names.decay = decay
    return names


def is_names(tree: Any) -> bool:
  """Returns whether a tree is the names of one array: `Names`, or a plain tuple."""
  # `type` and not isinstance: a NamedTuple is a state whose fields are names in turn
  plain = type(tree) is tuple and all(isinstance(n, str | None) for n in tree)
  return plain or isinstance(tree, Names)


def shardings(mesh: Mesh, names: Any, shapes: Any) -> Any:
  """Returns a NamedSharding for every array of a tree.

  Args:
    mesh: the devices.
    names: a tree of logical names, see `is_names`.
    shapes: the same tree of arrays or shapes.

  Raises:
    MeshError: if a mesh axis does not divide the array's; names both numbers.
  """

  def sharding(axes, array):
    if isinstance(array, tuple):  # (), the memory of a model that carries none
      return array
    spec = partition(axes)
    for size, axis, name in zip(array.shape, spec, axes, strict=False):
      parts = axis if isinstance(axis, tuple) else (axis,)
      ways = math.prod(mesh.shape[a] for a in parts if a)
      if size % ways:
        raise MeshError(
          f"axis {name!r} of size {size} does not divide into {ways} parts on mesh "
          f"axis {axis} (array {array.shape} named {axes}): change the size or --mesh"
        )
    return NamedSharding(mesh, spec)

  return jax.tree.map(sharding, names, shapes, is_leaf=is_names)


def batch_names(ndim: int) -> tuple[str, ...]:
  """Returns the names of a batch's axes: rows first, then time if it has one.

  Args:
    ndim: axes of the array.
  """
  return ("batch", "time")[:ndim]


def batch_sharding(mesh: Mesh, ndim: int = 2) -> NamedSharding:
  """Returns the sharding of arrays [B, T, ...]: rows over data and fsdp, time over seq.

  Args:
    mesh: the devices.
    ndim: axes of the array; 1 for [B].
  """
  return NamedSharding(mesh, partition(batch_names(ndim)))


def time_spec(mesh: Mesh | AbstractMesh, rows: int) -> PartitionSpec:
  """Returns how a `shard_map` cuts [B, T, ...]: time always, rows where they divide.

  Args:
    mesh: the devices, which need not have all axes of `RULES`.
    rows: B.
  """
  batch = tuple(axis for axis in RULES["batch"] if axis in mesh.shape)
  if rows % math.prod(mesh.shape[axis] for axis in batch):
    batch = ()  # fewer rows than devices, such as one document that is scored
  return PartitionSpec(batch or None, RULES["time"])


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
  """Returns the sharding of an array that is whole on every device."""
  return NamedSharding(mesh, PartitionSpec())


def beside(tree: Any, params: Any) -> Any:
  """Puts arrays on the devices of committed parameters, whole on each.

  A jitted function returns arrays that are committed where its parameters are. Fresh
  arrays are not, so that a loop which begins with them would compile it twice.

  Args:
    tree: arrays, such as the first state of a loop.
    params: the parameters of the function; where they are not committed, or of NumPy,
      the arrays stay as they are.
  """
  first = next(iter(jax.tree.leaves(params)), None)
  if not (isinstance(first, jax.Array) and first.committed):
    return tree
  sharding = first.sharding
  if isinstance(sharding, NamedSharding):
    sharding = replicated(sharding.mesh)
  return jax.device_put(tree, sharding)


def param_names(boxed: Any) -> Any:
  """Returns the logical `Names` of parameters, from the boxes that Flax keeps them in.

  Args:
    boxed: parameters as `init` returns them; those without a box get no names.
  """

  def names(box):
    if isinstance(box, nn.Partitioned):
      return Names(box.names, getattr(box, "decay", None))
    return Names((None,) * box.ndim)

  return jax.tree.map(names, boxed, is_leaf=lambda a: isinstance(a, nn.Partitioned))


def unboxed(boxed: Any) -> Any:
  """Returns the parameters without the boxes that hold their names."""
  return nn.meta.unbox(boxed)
