"""Nonlinear cells over time: one loop and one reverse pass for all of them.

A cell is three functions (`Cell`); its `step` and its form `chunk` are made of the same
three. What counts is the order of work: matrix products take many tokens at once where
the recurrence does not stand in between.

Source: Appleyard et al. 2016, arXiv:1604.01946, section 3 (hoisting, one product for
the weight gradients of many steps).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmem.core.typing import Form, Reset, State
from jaxmem.ops.recurrence import scan
from jaxmem.ops.recurrence.products import dot, known, outer


class Cell(NamedTuple):
  """A nonlinear memory whose state has a field `h`, which is also its output.

  Gates come in groups, tuples of pre-activations z_j + v R_j that read the same vector
  v: on CPU several narrow products beat a wide one, and in the reverse pass one product
  with all the transposes beats several.

  Attributes:
    split: `params -> (weights, matrices, vectors)`: what `project` needs; of each group
      the R_j, or None where it reads no vector; what `update` needs.
    project: `(weights, inputs, dtype) -> z`: of each group the z_j, each None where the
      inputs say nothing. Knows no time: it is given one token or a chunk of them.
    update: `(gates, vectors, state) -> state`, elementwise over rows; `gates(k, v)` are
      the pre-activations of group k, `gates(k)` those of a group that reads no vector.
    shown: `(gates, vectors, state) -> {name: gate}`, for who looks; see `gates`.
  """

  split: Callable[[Any], tuple[Any, tuple, Any]]
  project: Callable[[Any, tuple[Array, ...], Any], tuple[tuple, ...]]
  update: Callable[[Callable, Any, State], State]
  shown: Callable[[Callable, Any, State], dict[str, Array]] = lambda *_: {}


def step(cell: Cell, params: Any, inputs_t: tuple[Array, ...], state: State):
  """One token of a cell: `(y_t, state)`, y_t in the dtype of the inputs."""
  weights, matrices, vectors = cell.split(params)
  dtype = state.h.dtype
  gates = _gates(cell.project(weights, inputs_t, dtype), matrices, dtype)
  state = cell.update(gates, vectors, state)
  return state.h.astype(inputs_t[0].dtype), state


def gates(cell: Cell, params: Any, inputs: tuple, state: State, reset: Reset | None):
  """What the gates of a cell let through: {name: [B, T, H]}; costs the reference form.

  Args: as those of a form.
  """
  weights, matrices, vectors = cell.split(params)

  def look(params, inputs_t, state):
    z = cell.project(weights, inputs_t, state.h.dtype)
    shown = cell.shown(_gates(z, matrices, state.h.dtype), vectors, state)
    return shown, step(cell, params, inputs_t, state)[1]

  return scan.recurrent(look)(params, inputs, state, reset)[0]


def chunk(cell_of: Callable[..., Cell]) -> Form:
  """The form of a cell that takes a chunk of tokens at once wherever it can.

  Equal to `step` scanned over time. Cost: T sequential steps of the recurrent products
  alone; the inputs' products, and the gradients of all matrices, are taken C tokens at
  once. Its own reverse pass keeps the state and the pre-activations of every token, so
  that a step backwards has one product; it refuses forward mode.

  Args:
    cell_of: `(**options) -> cell`.

  Returns:
    A form with a keyword `chunk_size`: C >= 1, or ValueError; T need not be a multiple.
  """

  def form(
    params,
    inputs,
    state,
    reset: Reset | None = None,
    *,
    chunk_size: int = 32,
    **options,
  ):
    scan.check_chunk_size(chunk_size)
    length, dtype = inputs[0].shape[1], inputs[0].dtype
    state = jax.tree.map(lambda s: s.astype(scan.state_dtype(dtype)), state)
    cell = cell_of(**options)
    parts = cell.split(params)
    whole = length - length % chunk_size
    outputs = []
    # the last tokens are a chunk of their own: padding would change the state
    for begin, end, size in ((0, whole, chunk_size), (whole, length, length - whole)):
      if begin < end:
        cut = lambda a, b=begin, e=end: a[:, b:e]
        xs = jax.tree.map(cut, (tuple(inputs), reset))
        h, state = _unrolled(cell, size, *parts, *xs, state)
        outputs.append(h)
    y = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=1)
    return y.astype(dtype), state

  return form


def _gates(z: tuple, matrices: tuple, dtype) -> Callable:
  """The pre-activations of a group, computed."""

  def gates(k, v=None):
    if v is None:
      return z[k]
    read = (dot(v, r, dtype) for r in matrices[k])
    return tuple(u if a is None else a + u for a, u in zip(z[k], read, strict=True))

  return gates


def _taped(gates: Callable, keep: Callable) -> tuple[Callable, dict]:
  """`gates`, and a tape which gets `keep(v, result)` of every group that is asked."""
  tape = {}

  def taped(k, v=None):
    result = gates(k, v)
    tape[k] = keep(v, result)
    return result

  return taped, tape


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _unrolled(cell, size, weights, matrices, vectors, inputs, reset, state):
  """h of every token, [B, T, H], and the last state; `size` divides T."""
  parts = weights, matrices, vectors
  return _unrolled_forward(cell, size, *parts, inputs, reset, state)[0]


def _unrolled_forward(cell, size, weights, matrices, vectors, inputs, reset, state):
  dtype = state.h.dtype

  def token(state, xs):
    z, reset = xs
    gates, tape = _taped(_gates(z, matrices, dtype), lambda v, result: result)
    state = cell.update(gates, vectors, _forget(state, reset))
    return state, (state, tape)

  def block(state, n):
    x, r = _chunk_of((inputs, reset), n, size)
    return jax.lax.scan(token, state, (cell.project(weights, x, dtype), r))

  last, (states, tape) = jax.lax.scan(block, state, _numbers(inputs, size))
  residuals = weights, matrices, vectors, inputs, reset, state, states, tape
  return (_rows_first(states.h), last), residuals


def _unrolled_backward(cell, size, residuals, cotangents):
  weights, matrices, vectors, inputs, reset, state, states, tape = residuals
  dh, dlast = cotangents
  dtype = state.h.dtype
  stacked = [
    None if group is None else jnp.concatenate([r.mT for r in group], axis=-2)
    for group in matrices
  ]

  def update(tape, vectors, before):
    gates = lambda k, v=None: tape[k] if v is None else known(v, tape[k], stacked[k])
    return cell.update(gates, vectors, before)

  def token(carry, xs):
    dstate, dvectors = carry
    tape, before, reset, dh = xs
    _, pull = jax.vjp(update, tape, vectors, before)
    dtape, more, dstate = pull(dstate._replace(h=dstate.h + dh))
    return (_forget(dstate, reset), _add(dvectors, more)), dtape

  def block(carry, xs):
    carry, sums = carry
    n, first, states, tape = xs
    x, r, d = _chunk_of((inputs, reset, dh), n, size)
    before = jax.tree.map(_shifted, first, states)
    before = before if r is None else jax.vmap(scan.forget)(before, r)
    # for what each group has read; XLA leaves the rest of the update out
    gates, read = _taped(lambda k, v=None: tape[k], lambda v, result: v)
    cell.update(gates, vectors, before)
    carry, dtape = jax.lax.scan(token, carry, (tape, before, r, d), reverse=True)
    dmatrices = tuple(
      None if group is None else outer(read[k], dtape[k], group, dtype)
      for k, group in enumerate(matrices)
    )
    z, pull = jax.vjp(lambda w, x: cell.project(w, x, dtype), weights, x)
    said = lambda a, d: None if a is None else d
    dz = tuple(tuple(map(said, group, dtape[k])) for k, group in enumerate(z))
    dweights, dx = pull(dz)
    return (carry, _add(sums, (dweights, dmatrices))), dx

  zeros = lambda tree: jax.tree.map(lambda a: jnp.zeros(a.shape, dtype), tree)
  carry = ((dlast, zeros(vectors)), zeros((weights, matrices)))
  ends = jax.tree.map(lambda s: s[:, -1], states)
  first = jax.tree.map(_shifted, state, ends)  # what stood before each chunk
  xs = (_numbers(inputs, size), first, states, tape)
  ((dstate, dvectors), sums), dx = jax.lax.scan(block, carry, xs, reverse=True)
  like = lambda tree, params: jax.tree.map(lambda d, p: d.astype(p.dtype), tree, params)
  dparts = like((*sums, dvectors), (weights, matrices, vectors))
  return *dparts, jax.tree.map(_rows_first, dx), None, dstate


_unrolled.defvjp(_unrolled_forward, _unrolled_backward)


def _numbers(inputs, size):
  return scan.indices(inputs[0].shape[1] // size)


def _chunk_of(tree, n, size):
  """Chunk n of [B, T, ...] as [C, B, ...]; cut inside the loop, no whole copy."""
  cut = lambda a: jax.lax.dynamic_slice_in_dim(a, n * size, size, axis=1)
  return jax.tree.map(lambda a: cut(a).swapaxes(0, 1), tree)


def _shifted(first, rest):
  """What stood before each of `rest`: `first`, and all but the last of them."""
  return jnp.concatenate([first[None], rest[:-1]])


def _rows_first(a):
  """[T/C, C, B, ...] -> [B, T, ...]."""
  return a.reshape(-1, *a.shape[2:]).swapaxes(0, 1)


def _forget(state, reset):
  return state if reset is None else scan.forget(state, reset)


def _add(total, more):
  return jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, more)
