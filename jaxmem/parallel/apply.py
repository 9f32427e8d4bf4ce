"""Where a mixer's op meets the devices."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
from jaxtyping import Array

from jaxmem.core.registry import nearest
from jaxmem.core.typing import Reset, State
from jaxmem.ops.recurrence import cell, scan
from jaxmem.ops.recurrence import learned_init as starts
from jaxmem.parallel import sequence_parallel

_START = contextvars.ContextVar("start", default=None)


@contextlib.contextmanager
def starting_from(op: ModuleType, start: tuple[Array, ...]) -> Iterator[None]:
  """Within it, `apply` of the op begins every document from `start`, not from zeros.

  Args:
    op: an op file.
    start: a parameter for each of `ops.recurrence.learned_init.fields(op)`.
  """
  token = _START.set((op, start))
  try:
    yield
  finally:
    _START.reset(token)


def choose(op: ModuleType, form: str, length: int) -> str:
  """The form that runs: "auto" is the fastest here, one token is always the reference.

  The reference is the first of an op's forms: `recurrent`, or `dense` of an op that
  reads both ways and so has no step.
  """
  reference, *others = op.FORMS
  if length == 1:
    return reference
  if form == "auto":
    fallback = others[0] if others else reference
    return getattr(op, "FASTEST", {}).get(jax.default_backend(), fallback)
  if form not in op.FORMS:
    known = ["auto", *op.FORMS]
    raise ValueError(f"{op.__name__} has no form {form!r}: {nearest(form, known)}")
  return form


def apply(
  op: ModuleType,
  form: str,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None = None,
  sizes: dict[str, Any] | None = None,
  **options: Any,
) -> tuple[Array, State]:
  """A form of an op, on the devices of the ambient mesh (`jax.set_mesh`).

  Where that mesh cuts time (axis "seq") the form runs over the shards, see `lifts`; one
  token is always the plain form.

  Args:
    op: an op file.
    form: a key of its FORMS, or "auto".
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    sizes: what only blocked forms know, such as chunk_size.
    options: what every form knows.

  Returns:
    y, and the memory after the last token.

  Raises:
    ValueError: if there is no such form or no token, or T does not divide into the
      shards.
  """
  op, params = _started(op, params)
  rows, length = inputs[0].shape[:2]
  scan.check_length(length)
  form = choose(op, form, length)
  sizes = {} if form == next(iter(op.FORMS)) else sizes or {}
  run = functools.partial(op.FORMS[form], **options, **sizes)
  if not rows or length == 1 or sequence_parallel.shards() == 1:
    return run(params, inputs, state, reset)
  return sequence_parallel.over_time(op, run, params, inputs, state, reset, options)


def gates(
  op: ModuleType,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None = None,
  **options: Any,
) -> dict[str, Array]:
  """See `cell.gates`, for an op that is a cell; arguments as in `apply`."""
  op, params = _started(op, params)
  return cell.gates(op.cell_of(**options), params, inputs, state, reset)


def _started(op: ModuleType, params: tuple) -> tuple[ModuleType, tuple]:
  """The op and its params, from the start that `starting_from` has given it."""
  of, start = _START.get() or (None, ())
  return (starts.learned(op), (*start, *params)) if of is op else (op, params)


def by_token(f: Callable[..., Array], *sequences: Array) -> Array:
  """`f(*sequences)` for an f that treats every token alone, shard by shard.

  The shards of time become rows, so that chunks of time inside f lie within a shard:
  cut across them, every device would be sent, and would compute, all of them.

  Args:
    f: [B, T, ...], ... -> [B, T, ...].
    sequences: what f is given.

  Raises:
    ValueError: if T does not divide into the shards.
  """
  rows, length = sequences[0].shape[:2]
  count = sequence_parallel.shards()
  if length == 1 or count == 1:
    return f(*sequences)
  if length % count:
    raise ValueError(f"{length} tokens do not divide into {count} shards of time")
  # shards first: then every device already holds the rows that become its own
  fold = lambda a: a.reshape(rows, count, -1, *a.shape[2:]).swapaxes(0, 1)
  flat = lambda a: a.reshape(count * rows, *a.shape[2:])
  y = f(*(flat(fold(a)) for a in sequences))
  y = y.reshape(count, rows, *y.shape[1:]).swapaxes(0, 1)
  return y.reshape(rows, length, *y.shape[3:])
