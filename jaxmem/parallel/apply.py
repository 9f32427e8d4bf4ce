"""Runs a mixer's op on the devices of the ambient mesh, by the form that fits.

Mixers call `apply` and need not know the devices; ops need not know meshes.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from jaxtyping import Array

from jaxmem import ops
from jaxmem.core.op import Op
from jaxmem.core.registry import nearest
from jaxmem.core.typing import Reset, State
from jaxmem.ops.recurrence import cell, scan
from jaxmem.parallel import sequence_parallel


def choose(op: ModuleType | Op, form: str, length: int) -> str:
  """Returns the name of the form that runs.

  "auto" is the fastest form on this backend. One token always runs by the reference,
  the first of an op's forms: `recurrent`, or `dense` of an op that reads both ways and
  so has no step.

  Args:
    op: an op file, or its record.
    form: a key of its FORMS, or "auto".
    length: tokens of the call.

  Raises:
    ValueError: if there is no such form; the message names the nearest.
  """
  op = ops.record(op)
  if length == 1:  # decoding: a chunk of one token would only add work
    return op.form_names[0]
  if form == "auto":
    return op.fast_form()
  if form not in op.form_names:
    names = ["auto", *op.form_names]
    raise ValueError(f"{op.name} has no form {form!r}: {nearest(form, names)}")
  return form


def apply(
  op: ModuleType | Op,
  form: str,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None = None,
  sizes: dict[str, Any] | None = None,
  **options: Any,
) -> tuple[Array, State]:
  """Computes a form of an op on the devices of the ambient mesh (`jax.set_mesh`).

  Where that mesh cuts time (axis "seq") the form runs over the shards, see
  `sequence_parallel`; one token always runs by the plain form.

  Args:
    op: an op file, or its record.
    form: a key of its FORMS, or "auto".
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    sizes: options that only blocked forms take, such as chunk_size.
    options: options that every form of the op takes.

  Returns:
    y, and the memory after the last token.

  Raises:
    ValueError: if there is no such form or no token, or T does not divide into the
      shards.
  """
  op, params = _with_start(op, params)
  rows, length = inputs[0].shape[:2]
  scan.check_length(length)
  form = choose(op, form, length)
  sizes = {} if form == op.form_names[0] else sizes or {}  # the reference has no blocks
  run = functools.partial(op.form(form), **options, **sizes)
  if not rows or length == 1 or sequence_parallel.shards() == 1:  # nothing to cut
    return run(params, inputs, state, reset)
  takes_timeline = op.takes(form, "timeline")
  return sequence_parallel.over_time(
    op, run, takes_timeline, params, inputs, state, reset, options
  )


def gates(
  op: ModuleType | Op,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None = None,
  **options: Any,
) -> dict[str, Array]:
  """Returns the gates of an op that is a cell, {name: [B, T, H]}; see `cell.gates`.

  Args:
    op: an op file, or its record.
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    options: options of the op's `step`.
  """
  op, params = _with_start(op, params)
  return cell.gates(op.cell_of(**options), params, inputs, state, reset)


def _with_start(op: ModuleType | Op, params: tuple) -> tuple[Op, tuple]:
  """Moves the arrays of a learned start from an op's record to the front of its params.

  The record must be hashable, since it is a key of compiled functions.
  """
  op = ops.record(op)
  return op._replace(start=()), (*op.start, *params)


def by_token(f: Callable[..., Array], *sequences: Array) -> Array:
  """Computes `f(*sequences)` shard by shard, for an f that treats tokens independently.

  The shards of time become rows, so that chunks of time inside f lie within a shard. A
  chunk that crossed shards would be sent to every device, and computed by each.

  Args:
    f: [B, T, ...], ... -> [B, T, ...].
    sequences: the arguments of f.

  Raises:
    ValueError: if T does not divide into the shards.
  """
  rows, length = sequences[0].shape[:2]
  count = sequence_parallel.shards()
  if length == 1 or count == 1:
    return f(*sequences)
  if length % count:
    raise ValueError(f"{length} tokens do not divide into {count} shards of time")

  def to_rows(a):
    """[B, T, ...] -> [N B, T/N, ...]."""
    # shards first: then no row moves to another device
    a = a.reshape(rows, count, -1, *a.shape[2:]).swapaxes(0, 1)
    return a.reshape(count * rows, *a.shape[2:])

  y = f(*(to_rows(a) for a in sequences))  # [N B, T/N, ...]
  y = y.reshape(count, rows, *y.shape[1:]).swapaxes(0, 1)  # [B, N, T/N, ...]
  return y.reshape(rows, length, *y.shape[3:])
