"""A learned start: an op whose empty memory is a parameter, and not zeros.

The state holds the difference from the start, so that zeros stay the empty memory, a
reset still writes zeros, and the start gets gradients from every document. Nothing else
that handles states (checkpoints, shards, packing) has to know of it.
"""

import functools
from collections.abc import Callable

import jax
from jaxtyping import Array

from jaxmem.core.op import Op
from jaxmem.core.typing import Form, Reset, State
from jaxmem.ops.recurrence import cell, scan


def fields(op: Op) -> tuple[str, ...]:
  """Returns the fields of an op's state that start from a parameter.

  These are all fields, or those in the op's `STARTS`: a normaliser, a stabiliser and a
  position have no other start than zero.

  Args:
    op: an op without a learned start.

  Raises:
    ValueError: if there are none. A window or a convolution keeps inputs, and there are
      none before the first token.
  """
  if not op.starts:
    raise ValueError(f"{op.name} has no learned start: what it keeps are inputs")
  return op.starts


def begin(op: Op, start: tuple[Array, ...]) -> Op:
  """Returns the op that starts from `start`, and takes the parameters of `op`.

  Args:
    op: the op that a mixer calls.
    start: an array for each of `fields(op)`, without a batch axis.
  """
  return learned(op)._replace(start=start)


@functools.cache
def learned(op: Op) -> Op:
  """Returns the op that starts from parameters, which stand before those of `op`.

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

  def split(params):
    """(start by field, params of `op`)."""
    return dict(zip(names, params[: len(names)], strict=True)), params[len(names) :]

  def step(params, inputs_t, state, **options):
    start, params = split(params)
    y, state = op.step(params, inputs_t, _add(state, start), **options)
    return y, _add(state, start, -1)

  recurrent = scan.recurrent(step)
  step_options = dict(op.keywords)["step"]
  cell_of = _cell_of(op, split) if op.cell_of else None

  def form_from_start(name, form):
    if name == "recurrent":
      return recurrent
    if cell_of:
      return _of_cell(cell_of, split)
    return _aligned(form, recurrent, split, step_options)

  forms = scan.of_any_rows(
    {name: form_from_start(name, form) for name, form in op.forms}
  )
  return op._replace(
    name=f"{op.name} from a learned start",
    forms=tuple(forms.items()),
    example=_with_start(op.example, names),
    stress=_with_start(op.stress, names),
    step=step,
    cell_of=cell_of,
    transition=None,  # no longer linear: documents begin elsewhere than at 0
    **dict.fromkeys(("init_state", "value", "join", "summary", "initial", "compose")),
    starts=(),
  )


def _add(state: State, start: dict, sign: int = 1) -> State:
  """The state plus or minus the start, the same in every row."""

  def shifted(a, b):
    return a + sign * b.astype(a.dtype)  # [B, ...] and [...]

  return state._replace(**{k: shifted(getattr(state, k), b) for k, b in start.items()})


def _cell_of(op: Op, split_start: Callable) -> Callable[..., cell.Cell]:
  """The `cell_of` of a cell whose state is the difference from the start."""

  def cell_of(**options):
    inner = op.cell_of(**options)

    def split(params):
      start, params = split_start(params)
      weights, matrices, vectors = inner.split(params)
      # the start is one of the vectors of `update`, and gets its gradient like a bias
      return weights, matrices, (start, vectors)

    def update(gates, vectors, state):
      start, vectors = vectors
      return _add(inner.update(gates, vectors, _add(state, start)), start, -1)

    def inspect(gates, vectors, state):
      start, vectors = vectors
      return inner.inspect(gates, vectors, _add(state, start))

    return cell.Cell(split, inner.project, update, inspect)

  return cell_of


def _of_cell(cell_of: Callable, split: Callable) -> Form:
  """The fast form of a cell: the same loop around the shifted cell."""
  run = cell.chunk(cell_of)

  def form(params, inputs, state, reset: Reset | None = None, **options):
    y, state = run(params, inputs, state, reset, **options)
    start, _ = split(params)
    return y + start["h"].astype(y.dtype), state  # the loop gives h less its start

  return form


def _aligned(
  form: Form, recurrent: Form, split: Callable, step_options: tuple[str, ...]
) -> Form:
  """The op's `form` where no document begins inside the call, else `recurrent`."""

  def form_from_start(params, inputs, state, reset: Reset | None = None, **options):
    def whole(state):
      start, inner = split(params)
      y, state = form(inner, inputs, _add(state, start), None, **options)
      return y, _add(state, start, -1)

    def by_token(state):
      kwargs = {k: v for k, v in options.items() if k in step_options}
      return recurrent(params, inputs, state, reset, **kwargs)

    def from_first_token(state):
      return whole(scan.forget(state, reset[:, 0]))

    if reset is None:
      return whole(state)
    # A form forgets to zeros, where a learned start must be: inside a call only `step`
    # can do that. Which of the two runs depends on the data, so it is a branch of the
    # compiled program, of which one side is computed.
    return jax.lax.cond(reset[:, 1:].any(), by_token, from_first_token, state)

  return form_from_start


def _with_start(draw: Callable, names: tuple[str, ...]) -> Callable:
  """An `example` or `stress` with a random start."""

  def draw_with_start(key, batch_size, length):
    params, inputs, state = draw(key, batch_size, length)
    start = (
      jax.random.normal(jax.random.fold_in(key, i), getattr(state, name).shape[1:])
      for i, name in enumerate(names)
    )
    return (*start, *params), inputs, state

  return draw_with_start
