"""The base of all mixers: options that cannot be are refused when a mixer is made."""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem import ops
from jaxmem.core import ranges
from jaxmem.core.op import Op
from jaxmem.core.ranges import Range
from jaxmem.layers import arguments


class Memory(nn.Module):
  """A mixer whose options are checked when it is made, before anything is computed.

  Every option has the type of its field: a word such as "false" is no flag. A size that
  defaults to 0 may be 0; any other is at least 1, unless `MAY_BE_ZERO` names it. Other
  numbers declare their ranges (`ranges.number`), and are finite. A subclass says in
  `_check` what must divide what.

  Attributes:
    change_op: what is done to the mixer's op before it is applied; None is nothing. It
      is for wrappers, such as `learned_init`, and no option.
  """

  MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ()

  change_op: Callable[[Op], Op] | None = dataclasses.field(default=None, kw_only=True)

  def __init_subclass__(cls, **kwargs):
    super().__init_subclass__(**kwargs)
    arguments.describe(cls)

  @nn.nowrap
  def op(self, file: ModuleType) -> Op:
    """The mixer's op, as it is to be applied."""
    op = ops.record(file)
    return self.change_op(op) if self.change_op else op

  def __post_init__(self):
    super().__post_init__()
    for field in dataclasses.fields(self):
      if field.name not in ("parent", "name"):
        self._check_field(field)
    self._check()

  @nn.nowrap
  def _check_field(self, field: dataclasses.Field) -> None:
    name, value = field.name, getattr(self, field.name)
    if name == "dtype":
      _check_dtype(value)
    elif field.type is int:
      if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} is {value!r}: it must be a whole number")
      zero = field.default == 0 or name in self.MAY_BE_ZERO
      least = None if name == "seed" else 0 if zero else 1
      ranges.check_number(int(value), name, Range(at_least=least))
    elif field.type is bool and not isinstance(value, bool | np.bool_):
      raise ValueError(f"{name} is {value!r}: it must be True or False")
    elif field.type is str and not isinstance(value, str):
      raise ValueError(f"{name} is {value!r}: it must be a word")
    elif field.type in (float, float | None):
      if value is None and field.type is not float:
        return
      if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} is {value!r}: it must be a number")
      range_ = field.metadata.get("range", Range())
      ranges.check_number(float(value), name, range_)

  @nn.nowrap
  def _check(self) -> None:
    """Raises ValueError if the sizes do not fit one another."""


def _check_dtype(value: Any) -> None:
  try:
    good = value is not None and jnp.issubdtype(jnp.dtype(value), jnp.floating)
  except TypeError:
    good = False
  if not good:
    raise ValueError(f"dtype is {value!r}: it must be float32 or bfloat16")


def check_order(layer: nn.Module, low: str, high: str) -> None:
  """Raises ValueError if the option `low` of a layer is larger than its `high`."""
  if getattr(layer, low) > getattr(layer, high):
    raise ValueError(
      f"{low} is {getattr(layer, low)} and {high} {getattr(layer, high)}: the first "
      "must not be the larger"
    )


def head_size(d_model: int, num_heads: int, instead: str = "") -> int:
  """Features of a head, D/H.

  Args:
    d_model: D.
    num_heads: H.
    instead: what may be given in the place of D/H, for the message.

  Raises:
    ValueError: if the heads do not divide D; names both.
  """
  if d_model % num_heads:
    hint = f": change one, or give {instead}" if instead else ""
    raise ValueError(f"d_model {d_model} does not divide into {num_heads} heads{hint}")
  return d_model // num_heads


def key_and_value(
  layer: nn.Module, key_share: int = 1, value_times: int = 1
) -> tuple[int, int]:
  """Sizes K and V of a head: those that are given, else made of D/H.

  Args:
    layer: has d_model, num_heads, key_dim and value_dim.
    key_share: K is this part of D/H, and at least 1.
    value_times: V is so many times D/H.

  Raises:
    ValueError: if D/H is needed and the heads do not divide D.
  """
  if layer.key_dim and layer.value_dim:
    return layer.key_dim, layer.value_dim
  size = head_size(layer.d_model, layer.num_heads, "key_dim and value_dim")
  key = layer.key_dim or max(size // key_share, 1)
  return key, layer.value_dim or value_times * size
