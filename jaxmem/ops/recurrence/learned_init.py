"""A learned start: an op whose empty memory is a parameter, and not zeros.

The state holds the difference from the start, so that zeros stay the empty memory, a
reset still writes zeros, and the start gets gradients from every document.
"""

import functools
from collections.abc import Callable

import jax
from jaxtyping import Array

from jaxmem.core.op import Op
from jaxmem.core.typing import Form, Reset, State
from jaxmem.ops.recurrence import cell, scan


def fields(op: Op) -> tuple[str, ...]:
  """The fields of an op's state that start from a parameter.

  All of them, or those in the op's `STARTS`: a normaliser, a stabiliser and a position
  have no other start than zero.

  Raises:
    ValueError: if there are none. A window or a convolution keeps inputs, which nobody
      has seen before the first token.
  """
  if not op.starts:
    raise ValueError(f"{op.name} has no learned start: what it keeps are inputs")
  return op.starts


def begin(op: Op, start: tuple[Array, ...]) -> Op:
  """The op with `start` in the place of zeros, and the parameters of `op`.

  Args:
    op: its params are what a mixer gives.
    start: an array for each of `fields(op)`, without rows.
  """
  return learned(op)._replace(start=start)


@functools.cache
def learned(op: Op) -> Op:
  """The op that starts from the parameters that stand before its own.

      state'_0 = 0,    y_t, state'_t = step(inputs_t, state'_{t-1} + start) - (0, start)

  Exact for every memory whose state is a sum or a cell. Cost: `recurrent` adds two
  passes over the state a token; so does the fast form of a nonlinear cell. Any other
  form runs as it is where documents begin on the first token of a call alone, and
  falls back to `recurrent` where one begins later.

  Args:
    op: an op without a learned start.

  Returns:
    An op like `op`, whose params are (*start, *params); a start, one for each of
    `fields(op)`, has no batch axis.
  """
  names = fields(op)

  def part(params):
    return dict(zip(names, params[: len(names)], strict=True)), params[len(names) :]

  def step(params, inputs_t, state, **options):
    start, params = part(params)
    y, state = op.step(params, inputs_t, _add(state, start), **options)
    return y, _add(state, start, -1)

  recurrent = scan.recurrent(step)
  known = dict(op.keywords)["step"]
  cell_of = _cell_of(op, part) if op.cell_of else None

  def lift(name, form):
    if name == "recurrent":
      return recurrent
    return (
      _of_cell(cell_of, part) if cell_of else _aligned(form, recurrent, part, known)
    )

  forms = scan.of_any_rows({name: lift(name, form) for name, form in op.forms})
  return op._replace(
    name=f"{op.name} from a learned start",
    forms=tuple(forms.items()),
    example=_with_start(op.example, names),
    stress=_with_start(op.stress, names),
    step=step,
    cell_of=cell_of,
    transition=None,  # no longer linear: documents begin elsewhere than at 0
    **dict.fromkeys(("init_state", "value", "join", "summary", "given", "compose")),
    starts=(),
  )


def _add(state: State, start: dict, sign: int = 1) -> State:
  """The state plus or minus the start, the same in every row."""
  shift = lambda a, b: a + sign * b.astype(a.dtype)
  return state._replace(**{k: shift(getattr(state, k), b) for k, b in start.items()})


def _cell_of(op: Op, part: Callable) -> Callable[..., cell.Cell]:
  """A cell's `cell_of`, whose state is the difference from the start."""

  def cell_of(**options):
    inner = op.cell_of(**options)

    def split(params):
      start, params = part(params)
      weights, matrices, vectors = inner.split(params)
      return weights, matrices, (start, vectors)

    def update(gates, vectors, state):
      start, vectors = vectors
      return _add(inner.update(gates, vectors, _add(state, start)), start, -1)

    def shown(gates, vectors, state):
      start, vectors = vectors
      return inner.shown(gates, vectors, _add(state, start))

    return cell.Cell(split, inner.project, update, shown)

  return cell_of


def _of_cell(cell_of: Callable, part: Callable) -> Form:
  """The fast form of a cell: the same loop around the shifted cell."""
  shifted = cell.chunk(cell_of)

  def form(params, inputs, state, reset: Reset | None = None, **options):
    y, state = shifted(params, inputs, state, reset, **options)
    return y + part(params)[0]["h"].astype(y.dtype), state

  return form


def _aligned(form: Form, recurrent: Form, part: Callable, known) -> Form:
  """The op's own form where no document begins inside, else `recurrent`."""

  def lifted(params, inputs, state, reset: Reset | None = None, **options):
    def whole(state):
      start, own = part(params)
      y, state = form(own, inputs, _add(state, start), None, **options)
      return y, _add(state, start, -1)

    def by_token(state):
      own = {k: v for k, v in options.items() if k in known}
      return recurrent(params, inputs, state, reset, **own)

    if reset is None:
      return whole(state)
    first = lambda state: whole(scan.forget(state, reset[:, 0]))
    return jax.lax.cond(reset[:, 1:].any(), by_token, first, state)

  return lifted


def _with_start(draw: Callable, names: tuple[str, ...]) -> Callable:
  """An `example` or `stress` with a random start."""

  def drawn(key, batch_size, length):
    params, inputs, state = draw(key, batch_size, length)
    start = (
      jax.random.normal(jax.random.fold_in(key, i), getattr(state, name).shape[1:])
      for i, name in enumerate(names)
    )
    return (*start, *params), inputs, state

  return drawn
