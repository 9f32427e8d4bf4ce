"""The map that a shard of time applies to the state before it, as a summary.

A family of memories defines the `summary` of a shard, how to `compose` those of two
neighbours, and the `initial` summary, of whatever left the first shard's state.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxmem.core.op import Op
from jaxmem.core.typing import Reset, State
from jaxmem.ops.recurrence import scan


class Call(NamedTuple):
  """A form of an op on one shard of time.

  Attributes:
    op: the record of the op.
    run: the form, its options bound: `(params, inputs, state, reset) -> (y, state)`.
    options: options that every form of the op takes.
    params: parameters of the op.
    inputs: inputs of the shard.
    reset: resets of the shard.
  """

  op: Op
  run: Callable
  options: dict[str, Any]
  params: tuple[Array, ...]
  inputs: tuple[Array, ...]
  reset: Reset | None

  def last(self, state: State, value: Array | None = None) -> State:
    """Runs the form, and returns the state after the last token.

    Args:
      state: memory before the first token of the shard.
      value: replaces inputs[op.value], the input that is written; None keeps it.
    """
    inputs = list(self.inputs)
    if value is not None:
      inputs[self.op.value] = value
    return self.run(self.params, tuple(inputs), state, self.reset)[1]


class Family(NamedTuple):
  """How the summaries of one kind of memory are made and composed.

  Attributes:
    summary: `(call, state) -> summary` of a shard; of the state only sizes are read.
    initial: `state -> summary` of whatever left that state.
    compose: `(call, first, then, length of then) -> summary` of both.
    state: `summary -> state` after a summary that begins with an initial one.
  """

  summary: Callable[[Call, State], Any]
  initial: Callable[[State], Any]
  compose: Callable[[Call, Any, Any, int], Any]
  state: Callable[[Any], State]


class Affine(NamedTuple):
  """The map S -> a S + b that a shard applies to a linear memory.

  Attributes:
    a: a factor for every element of a diagonal memory, [B, H, K, K] for a matrix.
    b: the state that the shard leaves in an empty memory.
  """

  a: Any
  b: State


def _empty(state: State) -> State:
  return jax.tree.map(jnp.zeros_like, state)


def _elementwise(one: Callable, times: Callable) -> Family:
  """Makes the family of memories whose elements decay independently of each other.

  Args:
    one: `leaf of a state -> leaf of ones`, the identity of `times`.
    times: the product of two leaves.
  """

  def summary(call: Call, state: State) -> Affine:
    """Runs twice: b from the empty memory, a from ones where nothing is written."""
    silent = jnp.zeros_like(call.inputs[call.op.value])
    return Affine(call.last(jax.tree.map(one, state), silent), call.last(_empty(state)))

  def initial(state: State) -> Affine:
    return Affine(_empty(state), state)  # a = 0: what came before leaves nothing else

  def compose(call: Call, first: Affine, then: Affine, length: int) -> Affine:
    # a2 (a1 S + b1) + b2
    a = jax.tree.map(times, then.a, first.a)
    kept = jax.tree.map(times, then.a, first.b)
    return Affine(a, jax.tree.map(jnp.add, kept, then.b))

  return Family(summary, initial, compose, state=lambda affine: affine.b)


def _complex_one(h: Array) -> Array:
  """Returns 1 + 0 i in every element of [B, 2, N]."""
  return jnp.ones_like(h).at[..., 1, :].set(0)


def _complex_times(a: Array, b: Array) -> Array:
  """Returns the product of complex numbers [B, 2, N], real parts first."""
  # each [B, N]; not as complex64, which would be packed and unpacked every round
  (ar, ai), (br, bi) = jnp.moveaxis(a, -2, 0), jnp.moveaxis(b, -2, 0)
  return jnp.stack([ar * br - ai * bi, ar * bi + ai * br], axis=-2)


def _matrix_summary(call: Call, state: State) -> Affine:
  """Computes a and b by one run of the form: [0 | I] becomes [b | a].

  The columns of a matrix memory do not mix, so K more of them, which start from the
  identity and write values of 0, pass through the same decays and corrections.
  """
  (s,), tree = jax.tree.flatten(state)
  *rows, key, value = s.shape  # [B, H, K, V]
  eye = jnp.broadcast_to(jnp.eye(key, dtype=s.dtype), (*rows, key, key))
  wide = jnp.concatenate([jnp.zeros_like(s), eye], axis=-1)  # [B, H, K, V + K]
  v = call.inputs[call.op.value]
  v = jnp.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, key)])  # [B, T, H, V + K]
  (end,) = jax.tree.leaves(call.last(jax.tree.unflatten(tree, [wide]), v))
  return Affine(end[..., value:], jax.tree.unflatten(tree, [end[..., :value]]))


def _matrix_initial(state: State) -> Affine:
  (s,) = jax.tree.leaves(state)
  zeros = jnp.zeros((*s.shape[:-1], s.shape[-2]), s.dtype)  # [B, H, K, K]
  return Affine(zeros, state)


def _matrix_compose(call: Call, first: Affine, then: Affine, length: int) -> Affine:
  def apply(x):
    # a TPU would multiply float32 in bfloat16
    return jnp.matmul(then.a, x, precision=jax.lax.Precision.HIGHEST)

  b = jax.tree.map(lambda x, y: apply(x) + y, first.b, then.b)
  return Affine(apply(first.a), b)


class Joined(NamedTuple):
  """The summary of a shard for a memory that keeps the last tokens.

  Attributes:
    state: the state that it leaves in an empty memory.
    began: whether a document begins in it, so that nothing from before is left.
  """

  state: State
  began: Bool[Array, " B"]


def _window_summary(call: Call, state: State) -> Joined:
  """Runs the form from the empty memory; `op.join` puts the window before in front."""
  rows = jax.tree.leaves(state)[0].shape[0]
  began = jnp.zeros(rows, bool) if call.reset is None else call.reset.any(axis=1)
  return Joined(call.last(_empty(state)), began)


def _window_initial(state: State) -> Joined:
  return Joined(state, jnp.ones(jax.tree.leaves(state)[0].shape[0], bool))


def _window_compose(call: Call, first: Joined, then: Joined, length: int) -> Joined:
  joined = call.op.join(first.state, then.state, length, **call.options)
  state = scan.where_row(then.began, then.state, joined)
  return Joined(state, first.began | then.began)


DIAGONAL = _elementwise(jnp.ones_like, jnp.multiply)
COMPLEX = _elementwise(_complex_one, _complex_times)
MATRIX = Family(
  summary=_matrix_summary,
  initial=_matrix_initial,
  compose=_matrix_compose,
  state=lambda affine: affine.b,
)
WINDOW = Family(
  summary=_window_summary,
  initial=_window_initial,
  compose=_window_compose,
  state=lambda joined: joined.state,
)


def _defined_by(op: Op) -> Family:
  """Makes the family of an op whose file defines its summaries, such as mLSTM."""
  return Family(
    summary=lambda call, state: op.summary(call.last, call.inputs, state, call.reset),
    initial=op.initial,
    compose=lambda call, first, then, length: op.compose(first, then),
    state=lambda summary: summary.state,
  )


def family(op: Op) -> Family | None:
  """Returns the family of an op; None where a shard has no summary.

  A linear op has a transition and a value; an op that holds its last tokens has `join`;
  any other may define `summary`, `initial` and `compose`.

  Args:
    op: the record of the op.
  """
  if op.value is not None:
    families = {"diagonal": DIAGONAL, "complex": COMPLEX, "matrix": MATRIX}
    return families[op.transition]
  if op.compose:
    return _defined_by(op)
  return WINDOW if op.join else None
