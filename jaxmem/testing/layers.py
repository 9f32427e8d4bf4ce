"""What a layer must have before the laws can be checked on it, in words."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
from flax import linen as nn
from flax.errors import InvalidRngError

from jaxmem.core.errors import UserError, reason

CONTRACT = (
  "a layer is a Flax module with `init_state(batch_size)`, which gives the empty "
  "memory as arrays [batch_size, ...], and is called as (x, state, reset) for the pair "
  "(y, state)"
)


class LawError(AssertionError):
  """A law is broken; the message names law, form and position."""


class LayerError(LawError, UserError):
  """A layer lacks what the laws are about; says what a layer needs."""


def check_module(layer: Any) -> None:
  """Raises LayerError unless `layer` can be asked for a memory and called with one."""
  if isinstance(layer, type):
    _fail(layer.__name__, "is a class: give an instance, such as MyMixer(d_model=8)")
  name = type(layer).__name__
  if not isinstance(layer, nn.Module):
    _fail(name, "is no Flax module (flax.linen.Module)")
  if not callable(getattr(layer, "init_state", None)):
    _fail(name, "has no method `init_state`")
  try:  # bound, not called: names of parameters are the layer's choice
    inspect.signature(layer.__call__).bind("x", "state", "reset")
  except TypeError as error:
    _fail(name, f"cannot be called as (x, state, reset): {error}")


def check_op(op: ModuleType) -> None:
  """Raises LayerError unless a module of Python is an op file."""
  parts = ("FORMS", "example", "stress", "REVERSE_ONLY")
  missing = [part for part in parts if not hasattr(op, part)]
  if missing:
    raise LayerError(f"{op.__name__} is no op file: it lacks {', '.join(missing)}")


def check_width(layer: nn.Module) -> None:
  """Raises LayerError unless the layer says how many features it reads."""
  if not hasattr(layer, "d_model"):
    _fail(
      type(layer).__name__,
      "has no `d_model`, features of its x [B, T, d_model]: add the field, or give "
      "check_laws(..., inputs=) where x is something else",
    )
  if not hasattr(layer.d_model, "__index__"):  # what an axis may be: no 8.0, no "8"
    _fail(type(layer).__name__, f"has d_model {layer.d_model!r}: give a whole number")


def check_call(layer: nn.Module, run: Callable, batch_size: int, length: int) -> None:
  """Raises LayerError unless states and results are what a layer's must be.

  Args:
    layer: see `check_module`.
    run: `state -> (y, new state)` on fresh parameters; only traced.
    batch_size: B, of the inputs.
    length: T, of the inputs.
  """
  name = type(layer).__name__
  state = _tried(name, "`init_state`", lambda: layer.init_state(batch_size))
  _check_state(name, "`init_state` gives", state, batch_size)
  # traced, not run: a mistake of the layer costs no compilation
  result = _tried(name, "a call", lambda: jax.eval_shape(run, state))
  if not isinstance(result, tuple) or len(result) != 2:
    _fail(name, f"returns {_kind(result)} instead of the pair (y, state)")
  y, new = result
  if not hasattr(y, "shape") or y.shape[:2] != (batch_size, length):
    _fail(name, f"returns y of {_kind(y)} for x of [{batch_size}, {length}, ...]")
  if state is not None and new is None:
    _fail(name, "returns None as its state")
  # a scan over calls needs the same tree before and after
  trees = [jax.tree.structure(tree) for tree in (new, state)]
  if trees[0] != trees[1]:  # type: ignore[operator] # of JAX's stubs
    _fail(name, f"returns a state of {trees[0]}, and begins with one of {trees[1]}")


def _tried(name: str, what: str, run: Callable) -> Any:
  """Runs code of a layer, and turns its exceptions into mistakes of the layer.

  Args:
    name: of the layer.
    what: what runs, in messages.
    run: runs it.

  Raises:
    LayerError: if it raises anything; the cause keeps the layer's traceback.
  """
  try:
    return run()
  except InvalidRngError as error:
    message = f"{name} draws random numbers, and the laws are about one without: make "
    raise LayerError(f"{message}it deterministic ({reason(error)})") from error
  except Exception as error:  # whatever a layer's code may raise
    raise LayerError(f"{what} of {name} raises {reason(error)}; {CONTRACT}") from error


def _check_state(name: str, what: str, state: Any, batch_size: int) -> None:
  if state is None:
    _fail(name, f"{what} None: give (), where nothing is carried")
  for leaf in jax.tree.leaves(state):  # the first mistake is enough
    if not hasattr(leaf, "shape") or leaf.shape[:1] != (batch_size,):
      _fail(
        name, f"{what} {_kind(leaf)}, whose first axis is not the {batch_size} rows"
      )


def _kind(value: Any) -> str:
  shape = getattr(value, "shape", None)
  return type(value).__name__ if shape is None else f"shape {tuple(shape)}"


def _fail(name: str, what: str) -> None:
  raise LayerError(f"{name} {what}; {CONTRACT}")
