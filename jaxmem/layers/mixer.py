"""The base of all mixers: checked options, the state as data, one call of an op.

Each family of mixers has a base class, one level below `Memory`. A base class is
abstract and a mixer is final: no class overrides what another one implements. The two
hooks of `Memory`, `_check` and `_state_spec`, are the exception; by default they check
nothing and carry nothing.
"""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from jaxmem import ops
from jaxmem.core import ranges
from jaxmem.core.op import Op
from jaxmem.core.ranges import Range
from jaxmem.core.typing import Reset, State
from jaxmem.layers import arguments
from jaxmem.parallel import apply

# The options of a mixer that only the blocked forms of its op take.
BLOCKED = ("chunk_size", "block_size", "implementation")


@dataclasses.dataclass(frozen=True)
class OpState:
  """The state of one op, before the number of rows is known.

  A mixer declares what it carries by a tree of these; `init_state` and `state_axes` are
  derived from it.

  Attributes:
    op: the op file.
    sizes: the arguments of its `init_state` behind the number of rows.
    dtype: of the state of an op that keeps its inputs; None is the op's, float32.
  """

  op: ModuleType
  sizes: tuple[Any, ...]
  dtype: str | None = None

  def init(self, batch_size: int) -> State:
    """Returns the empty memory.

    Args:
      batch_size: B, rows.
    """
    if self.dtype is None:
      return self.op.init_state(batch_size, *self.sizes)
    return self.op.init_state(batch_size, *self.sizes, dtype=jnp.dtype(self.dtype))

  def axes(self) -> State:
    """Returns the logical names of the state's axes.

    Raises:
      ValueError: if the op file has no `AXES`.
    """
    axes = ops.record(self.op).axes
    if axes is None:
      raise ValueError(f"{self.op.__name__} has no AXES, the names of its state's axes")
    return axes


class Memory(nn.Module):
  """A mixer whose options are checked when it is made, before anything is computed.

  Every option has the type of its field: a word such as "false" is no flag. A size that
  defaults to 0 may be 0; any other is at least 1, unless `MAY_BE_ZERO` names it. Other
  numbers declare their ranges (`ranges.number`), and are finite. A subclass checks in
  `_check` what else must hold, and declares in `_state_spec` what it carries; either
  raises ValueError for sizes that do not fit one another.

  Attributes:
    change_op: a function that replaces the mixer's op before it is applied. It is for
      wrappers, such as `learned_init`, and not an option.
  """

  MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ()

  if TYPE_CHECKING:
    # no argument of the constructor: Flax declares its own keyword-only fields alone
    change_op: ClassVar[Any]
  else:
    change_op: Callable[[Op], Op] | None = dataclasses.field(default=None, kw_only=True)

  def __init_subclass__(cls, **kwargs):
    super().__init_subclass__(**kwargs)  # Linen makes a dataclass of the subclass
    arguments.describe(cls)  # needs the fields that Linen has just collected

  @nn.nowrap
  def op(self, file: ModuleType) -> Op:
    """Returns the op of a file as this mixer applies it, changed by `change_op`.

    Args:
      file: the op file.
    """
    op = ops.record(file)
    return self.change_op(op) if self.change_op else op

  def _recall(
    self,
    file: ModuleType,
    inputs: tuple[Array, ...],
    state: State,
    reset: Reset | None,
    params: tuple[Array, ...] = (),
    **options: Any,
  ) -> tuple[Array, State]:
    """Applies an op to the tokens of the mixer, on the devices of the ambient mesh.

    Args:
      file: the op file.
      inputs: see the op.
      state: memory before the first token.
      reset: True on the first token of a document.
      params: see the op.
      options: passed to every form of the op.

    Returns:
      y, and the memory after the last token.
    """
    # apart from `options`, since a scan over `step` has no blocks and takes none
    sizes = {name: getattr(self, name) for name in BLOCKED if hasattr(self, name)}
    return apply.apply(
      self.op(file), self.form, params, inputs, state, reset, sizes=sizes, **options
    )

  @property
  def _state_spec(self) -> State:
    """Returns what the mixer carries: a tree of `OpState`, shaped like the state."""
    return ()

  @nn.nowrap
  def init_state(self, batch_size: int) -> State:
    """Returns the empty memory.

    Args:
      batch_size: B, rows.
    """
    return jax.tree.map(lambda spec: spec.init(batch_size), self._state_spec)

  @nn.nowrap
  def state_axes(self) -> State:
    """Returns the logical names of the state's axes, in a tree like the state."""
    return jax.tree.map(OpState.axes, self._state_spec)

  def __post_init__(self):
    super().__post_init__()
    for field in dataclasses.fields(self):
      if field.name not in ("parent", "name"):  # those of Linen
        self._check_field(field)
    self._check()
    _ = self._state_spec  # raises ValueError where sizes do not divide

  @nn.nowrap
  def _check_field(self, field: dataclasses.Field) -> None:
    name, value = field.name, getattr(self, field.name)
    if name == "dtype":
      _check_dtype(value)
    elif field.type is int:
      # True is an int in Python, and NumPy's integers are not: `__index__` tells
      if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} is {value!r}: it must be a whole number")
      # a default of 0 means "derived from other sizes"
      zero = field.default == 0 or name in self.MAY_BE_ZERO
      least = None if name == "seed" else 0 if zero else 1
      ranges.check_number(int(value), name, Range(at_least=least))
    elif field.type is bool and not isinstance(value, bool | np.bool_):
      raise ValueError(f"{name} is {value!r}: it must be True or False")
    elif field.type is str:
      if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}: it must be a word")
      if "choices" in field.metadata:
        ranges.check_word(value, name, field.metadata["choices"])
    elif field.type in (float, float | None):
      if value is None and field.type is not float:
        return
      if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} is {value!r}: it must be a number")
      range_ = field.metadata.get("range", Range())
      ranges.check_number(float(value), name, range_.of(self))

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


def head_size(d_model: int, num_heads: int, instead: str = "") -> int:
  """Returns the features of a head, D/H.

  Args:
    d_model: D.
    num_heads: H.
    instead: the options that make D/H unnecessary, for the message.

  Raises:
    ValueError: if the heads do not divide D; the message names both.
  """
  if d_model % num_heads:
    hint = f": change one, or give {instead}" if instead else ""
    raise ValueError(f"d_model {d_model} does not divide into {num_heads} heads{hint}")
  return d_model // num_heads


def key_and_value(
  layer: nn.Module, key_share: int = 1, value_times: int = 1
) -> tuple[int, int]:
  """Returns the sizes K and V of a head: the options of the layer, else parts of D/H.

  Args:
    layer: has d_model, num_heads, key_dim and value_dim.
    key_share: K is D/H divided by this, and at least 1.
    value_times: V is D/H times this.

  Raises:
    ValueError: if D/H is needed and the heads do not divide D.
  """
  if layer.key_dim and layer.value_dim:
    return layer.key_dim, layer.value_dim
  size = head_size(layer.d_model, layer.num_heads, "key_dim and value_dim")
  key = layer.key_dim or max(size // key_share, 1)
  return key, layer.value_dim or value_times * size
