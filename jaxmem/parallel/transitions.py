"""What a shard of time does to the state it is given, whatever state that will be.

A family knows the `summary` of a shard, how to `compose` those of two neighbours, and
`given`, the summary of all that came before the first shard: what left a known state.
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
  """A form of an op on one shard of time."""

  op: Op
  run: Callable  # (params, inputs, state, reset) -> (y, state)
  options: dict[str, Any]  # what every form knows
  params: tuple[Array, ...]
  inputs: tuple[Array, ...]
  reset: Reset | None

  def last(self, state: State, value: Array | None = None) -> State:
    """The state after the last token; `value` stands in for inputs[op.value]."""
    inputs = list(self.inputs)
    if value is not None:
      inputs[self.op.value] = value
    return self.run(self.params, tuple(inputs), state, self.reset)[1]


class Family(NamedTuple):
  """How the summaries of one kind of memory are made and composed."""

  summary: Callable[[Call, State], Any]
  given: Callable[[State], Any]
  compose: Callable[[Call, Any, Any, int], Any]
  state: Callable[[Any], State]


class Affine(NamedTuple):
  """S -> a S + b, with a for every element (diagonal) or every matrix [B, H, K, K]."""

  a: Any
  b: State


def _empty(state: State) -> State:
  return jax.tree.map(jnp.zeros_like, state)


def _elementwise(one: Callable, times: Callable) -> Family:
  """The family of memories that keep every number apart.

  Args:
    one: of a leaf of the state, what makes `times(a, one)` a.
    times: the product of two leaves.
  """

  def summary(call: Call, state: State) -> Affine:
    """b from the empty memory, a from ones into which nothing is written."""
    silent = jnp.zeros_like(call.inputs[call.op.value])
    return Affine(call.last(jax.tree.map(one, state), silent), call.last(_empty(state)))

  def compose(call: Call, first: Affine, then: Affine, length: int) -> Affine:
    after = lambda x: jax.tree.map(times, then.a, x)
    return Affine(after(first.a), jax.tree.map(jnp.add, after(first.b), then.b))

  given = lambda state: Affine(_empty(state), state)
  return Family(summary, given, compose, state=lambda affine: affine.b)


def _complex_one(h: Array) -> Array:
  return jnp.ones_like(h).at[..., 1, :].set(0)


def _complex_times(a: Array, b: Array) -> Array:
  """The product of complex numbers [B, 2, N], real parts first."""
  (ar, ai), (br, bi) = jnp.moveaxis(a, -2, 0), jnp.moveaxis(b, -2, 0)
  return jnp.stack([ar * br - ai * bi, ar * bi + ai * br], axis=-2)


def _matrix_summary(call: Call, state: State) -> Affine:
  """[b | a] is what [0 | I] becomes, v being padded by zeros: one run of the form."""
  (s,), tree = jax.tree.flatten(state)
  *rows, key, value = s.shape
  eye = jnp.broadcast_to(jnp.eye(key, dtype=s.dtype), (*rows, key, key))
  wide = jnp.concatenate([jnp.zeros_like(s), eye], axis=-1)
  v = call.inputs[call.op.value]
  v = jnp.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, key)])
  (end,) = jax.tree.leaves(call.last(jax.tree.unflatten(tree, [wide]), v))
  return Affine(end[..., value:], jax.tree.unflatten(tree, [end[..., :value]]))


def _matrix_given(state: State) -> Affine:
  (s,) = jax.tree.leaves(state)
  return Affine(jnp.zeros((*s.shape[:-1], s.shape[-2]), s.dtype), state)


def _matrix_compose(call: Call, first: Affine, then: Affine, length: int) -> Affine:
  # a TPU would multiply float32 in bfloat16
  times = lambda x: jnp.matmul(then.a, x, precision=jax.lax.Precision.HIGHEST)
  b = jax.tree.map(lambda x, y: times(x) + y, first.b, then.b)
  return Affine(times(first.a), b)


class Joined(NamedTuple):
  """What a stretch leaves in an empty memory, and whether it began a document."""

  state: State
  began: Bool[Array, " B"]


def _window_summary(call: Call, state: State) -> Joined:
  rows = jax.tree.leaves(state)[0].shape[0]
  began = jnp.zeros(rows, bool) if call.reset is None else call.reset.any(axis=1)
  return Joined(call.last(_empty(state)), began)


def _window_given(state: State) -> Joined:
  return Joined(state, jnp.ones(jax.tree.leaves(state)[0].shape[0], bool))


def _window_compose(call: Call, first: Joined, then: Joined, length: int) -> Joined:
  joined = call.op.join(first.state, then.state, length, **call.options)
  state = scan.where_row(then.began, then.state, joined)
  return Joined(state, first.began | then.began)


DIAGONAL = _elementwise(jnp.ones_like, jnp.multiply)
COMPLEX = _elementwise(_complex_one, _complex_times)
MATRIX = Family(
  summary=_matrix_summary,
  given=_matrix_given,
  compose=_matrix_compose,
  state=lambda affine: affine.b,
)
WINDOW = Family(
  summary=_window_summary,
  given=_window_given,
  compose=_window_compose,
  state=lambda joined: joined.state,
)


def _own(op: Op) -> Family:
  """The family of an op that makes and composes summaries in its own way."""
  return Family(
    summary=lambda call, state: op.summary(call.last, call.inputs, state, call.reset),
    given=op.given,
    compose=lambda call, first, then, length: op.compose(first, then),
    state=lambda summary: summary.state,
  )


def family(op: Op) -> Family | None:
  """The family of an op; None where there is no summary.

  A linear op has a transition and a value; an op that holds its last tokens has `join`;
  any other may bring its own `summary`, `given` and `compose`.
  """
  if op.value is not None:
    families = {"diagonal": DIAGONAL, "complex": COMPLEX, "matrix": MATRIX}
    return families[op.transition]
  if op.compose:
    return _own(op)
  return WINDOW if op.join else None
