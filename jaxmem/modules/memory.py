"""The base of all mixers: sizes that cannot be are refused when a mixer is made."""

import dataclasses
from typing import Any, ClassVar

from flax import linen as nn

from jaxmem import ranges


class Memory(nn.Module):
  """A mixer whose numbers are checked when it is made, before anything is computed.

  A size that defaults to 0 may be 0; any other is at least 1, unless `MAY_BE_ZERO`
  names it. A fraction lies in the range of its field, see `jaxmem.ranges`. A subclass
  says in `_check` what must divide what.
  """

  MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self):
    super().__post_init__()
    for field in dataclasses.fields(self):
      if field.type is int and field.name != "seed":
        zero = field.default == 0 or field.name in self.MAY_BE_ZERO
        _check_size(field.name, getattr(self, field.name), 0 if zero else 1)
      else:
        range_ = field.metadata.get("range", ranges.Range())
        ranges.check_number(getattr(self, field.name), field.name, range_)
    self._check()

  @nn.nowrap
  def _check(self) -> None:
    """Raises ValueError if the sizes do not fit one another."""


def _check_size(name: str, value: Any, least: int) -> None:
  if isinstance(value, bool) or not hasattr(value, "__index__"):
    raise ValueError(f"{name} is {value!r}: it must be a whole number")
  if value < least:
    raise ValueError(f"{name} is {value}: it must be at least {least}")


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
