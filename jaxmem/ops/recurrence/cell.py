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
from jaxmem.ops.recurrence.products import dot, outer, replayed


class Cell(NamedTuple):
  """A nonlinear memory whose state has a field `h`, which is also its output.

  Gates come in groups, tuples of pre-activations z_j + v R_j that read the same vector
  v: on CPU several narrow products beat a wide one, and in the reverse pass one product
  with all the transposes beats several.

  Attributes:
    split: `params -> (weights, matrices, vectors)`: what `project` needs; of each group
      the R_j, or None where it reads no vector; what `update` needs.
    project: `(weights, inputs, dtype) -> z`: of each group the z_j, each None where the
      inputs do not enter. It knows no time: it gets one token or a chunk of them.
    update: `(gates, vectors, state) -> state`, elementwise over rows; `gates(k, v)` are
      the pre-activations of group k, `gates(k)` those of a group that reads no vector.
    inspect: `(gates, vectors, state) -> {name: gate}`, the gates by name; see `gates`.
  """

  split: Callable[[Any], tuple[Any, tuple, Any]]
  project: Callable[[Any, tuple[Array, ...], Any], tuple[tuple, ...]]
  update: Callable[[Callable, Any, State], State]
  inspect: Callable[[Callable, Any, State], dict[str, Array]] = lambda *_: {}


def step(
  cell: Cell, params: Any, inputs_t: tuple[Array, ...], state: State
) -> tuple[Array, State]:
  """Computes one token of a cell.

  Args:
    cell: what the memory is.
    params: those of the op.
    inputs_t: those of the op, at one token.
    state: what is remembered.

  Returns:
    h_t in the dtype of the inputs, and the state.
  """
  weights, matrices, vectors = cell.split(params)
  dtype = state.h.dtype
  gates = _gates(cell.project(weights, inputs_t, dtype), matrices, dtype)
  state = cell.update(gates, vectors, state)
  return state.h.astype(inputs_t[0].dtype), state


def gates(
  cell: Cell,
  params: Any,
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None,
) -> dict[str, Array]:
  """Returns the values of a cell's gates at every token, {name: [B, T, H]}.

  Cost: that of the reference form.

  Args:
    cell: what the memory is.
    params: those of the op.
    inputs: those of the op.
    state: memory before the first token.
    reset: True on the first token of a document.
  """
  weights, matrices, vectors = cell.split(params)

  def inspect(params, inputs_t, state):
    z = cell.project(weights, inputs_t, state.h.dtype)
    values = cell.inspect(_gates(z, matrices, state.h.dtype), vectors, state)
    return values, step(cell, params, inputs_t, state)[1]

  return scan.recurrent(inspect)(params, inputs, state, reset)[0]


def chunk(cell_of: Callable[..., Cell]) -> Form:
  """The form of a cell that takes a chunk of tokens at once wherever it can.

  Equal to `step` scanned over time. Cost: T sequential steps of the recurrent products
  alone; the inputs' products, and the gradients of all matrices, are taken C tokens at
  once. Its own reverse pass keeps the state and the pre-activations of every token, so
  that a step backwards has one product; it refuses forward mode.

  Args:
    cell_of: `(**options) -> cell`.

  Returns:
    A form with a keyword `chunk_size`, of which T need not be a multiple; it raises
    ValueError for one below 1.
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
    weights, matrices, vectors = cell.split(params)
    whole = length - length % chunk_size
    outputs = []
    # the last tokens are a chunk of their own: padding would change the state
    for begin, end, size in ((0, whole, chunk_size), (whole, length, length - whole)):
      if begin < end:
        tokens = slice(begin, end)
        x, r = jax.tree.map(lambda a, at=tokens: a[:, at], (tuple(inputs), reset))
        h, state = _unrolled(cell, size, weights, matrices, vectors, x, r, state)
        outputs.append(h)
    y = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=1)
    return y.astype(dtype), state

  return form


def _gates(z: tuple, matrices: tuple, dtype) -> Callable:
  """The function `gates` that computes: z_j + v R_j of every gate of a group."""

  def gates(k, v=None):
    if v is None:
      return z[k]
    products = (dot(v, r, dtype) for r in matrices[k])
    return tuple(
      of_v if of_x is None else of_x + of_v
      for of_x, of_v in zip(z[k], products, strict=True)
    )

  return gates


# `update` gets its pre-activations by calling `gates(k, v)`. It is written once; what
# `gates` does differs between the passes:
#
#   forward   gates(k, v) = z[k] + v R[k] ------------> update ---> state
#                  '--> tape[k], kept for every token
#
#   reverse   gates(k, v) = replayed(v, tape[k]) -----> update, under jax.vjp
#                  '--> dtape[k], and dv = dtape[k] R[k]^T, one product a token
#
#   chunk     dR[k] = v^T dtape[k] and dz[k] = dtape[k], one product for C tokens
#
# So no product is computed again, and the sums over tokens leave the sequential loop.
def _taped(gates: Callable, keep: Callable) -> tuple[Callable, dict]:
  """`gates`, and a tape that holds `keep(v, result)` of every group after its call."""
  tape = {}

  def taped(k, v=None):
    result = gates(k, v)
    tape[k] = keep(v, result)
    return result

  return taped, tape


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _unrolled(cell, size, weights, matrices, vectors, inputs, reset, state):
  """h of every token, [B, T, H], and the last state; `size` divides T."""
  return _unrolled_fwd(cell, size, weights, matrices, vectors, inputs, reset, state)[0]


def _unrolled_fwd(cell, size, weights, matrices, vectors, inputs, reset, state):
  dtype = state.h.dtype

  def token(state, xs):
    z, reset = xs
    gates, tape = _taped(_gates(z, matrices, dtype), lambda v, result: result)
    state = cell.update(gates, vectors, _forget(state, reset))
    return state, (state, tape)

  def block(state, n):
    x, r = _chunk_of((inputs, reset), n, size)  # [C, B, ...]
    # hoisted: the inputs' products of C tokens are one, outside of the inner loop
    return jax.lax.scan(token, state, (cell.project(weights, x, dtype), r))

  last, (states, tape) = jax.lax.scan(block, state, _numbers(inputs, size))
  residuals = weights, matrices, vectors, inputs, reset, state, states, tape
  return (_rows_first(states.h), last), residuals  # states are [T/C, C, B, ...]


def _unrolled_bwd(cell, size, residuals, cotangents):
  weights, matrices, vectors, inputs, reset, state, states, tape = residuals
  dh, dlast = cotangents
  dtype = state.h.dtype
  # all transposes of a group below each other: dv is then one product, not one a gate
  stacked = [
    None if group is None else jnp.concatenate([r.mT for r in group], axis=-2)
    for group in matrices
  ]

  def update(tape, vectors, before):
    def gates(k, v=None):
      return tape[k] if v is None else replayed(v, tape[k], stacked[k])

    return cell.update(gates, vectors, before)

  def token(carry, xs):
    dstate, dvectors = carry
    tape, before, reset, dh = xs
    _, vjp = jax.vjp(update, tape, vectors, before)
    # h is also the output: its two cotangents add up
    dtape, dvectors_t, dstate = vjp(dstate._replace(h=dstate.h + dh))
    return (_forget(dstate, reset), _add(dvectors, dvectors_t)), dtape

  def block(carry, xs):
    carry, sums = carry
    n, first, states, tape = xs
    x, r, d = _chunk_of((inputs, reset, dh), n, size)  # [C, B, ...]
    before = jax.tree.map(_shifted, first, states)
    before = before if r is None else jax.vmap(scan.forget)(before, r)
    # run for the vectors that each group reads, [C, B, H]; XLA drops the rest of it
    gates, vectors_read = _taped(lambda k, v=None: tape[k], lambda v, result: v)
    cell.update(gates, vectors, before)
    carry, dtape = jax.lax.scan(token, carry, (tape, before, r, d), reverse=True)
    dmatrices = tuple(
      None if group is None else outer(vectors_read[k], dtape[k], group, dtype)
      for k, group in enumerate(matrices)
    )
    z, vjp = jax.vjp(lambda w, x: cell.project(w, x, dtype), weights, x)
    # gates that the inputs do not enter are None in z, and have no cotangent there
    dz = tuple(
      tuple(None if a is None else d for a, d in zip(group, dtape[k], strict=True))
      for k, group in enumerate(z)
    )
    dweights, dx = vjp(dz)
    return (carry, _add(sums, (dweights, dmatrices))), dx

  # gradients of bfloat16 parameters are summed over all chunks in the state's dtype
  carry = ((dlast, _zeros(vectors, dtype)), _zeros((weights, matrices), dtype))
  ends = jax.tree.map(lambda s: s[:, -1], states)  # [T/C, B, ...]
  first = jax.tree.map(_shifted, state, ends)  # the state before each chunk
  xs = (_numbers(inputs, size), first, states, tape)
  ((dstate, dvectors), sums), dx = jax.lax.scan(block, carry, xs, reverse=True)
  dweights, dmatrices, dvectors = jax.tree.map(
    lambda d, p: d.astype(p.dtype), (*sums, dvectors), (weights, matrices, vectors)
  )
  dinputs = jax.tree.map(_rows_first, dx)
  return dweights, dmatrices, dvectors, dinputs, None, dstate  # None: of reset


_unrolled.defvjp(_unrolled_fwd, _unrolled_bwd)


def _numbers(inputs, size):  # of the chunks, [T/C]
  return scan.indices(inputs[0].shape[1] // size)


def _chunk_of(tree, n, size):
  """Chunk n of [B, T, ...] as [C, B, ...]; cut inside the loop, no whole copy."""

  def cut(a):
    return jax.lax.dynamic_slice_in_dim(a, n * size, size, axis=1).swapaxes(0, 1)

  return jax.tree.map(cut, tree)


def _shifted(first, rest):
  """What stood before each of `rest`: `first`, and all but the last of them."""
  return jnp.concatenate([first[None], rest[:-1]])


def _rows_first(a):
  """[T/C, C, B, ...] -> [B, T, ...]."""
  return a.reshape(-1, *a.shape[2:]).swapaxes(0, 1)


def _zeros(tree, dtype):
  return jax.tree.map(lambda a: jnp.zeros(a.shape, dtype), tree)


def _forget(state, reset):
  return state if reset is None else scan.forget(state, reset)


def _add(total, terms):  # a sum keeps its dtype, the state's
  return jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, terms)
