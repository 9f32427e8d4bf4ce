"""What an op is: one record of everything that its file says."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from jaxmem.core.typing import Form
from jaxmem.core.typing import State as AnyState


class Op(NamedTuple):
  """A view of an op file, or an op that was made of another.

  An op file has the names in brackets at its top level; those with a default it may
  leave out. The record is hashable: pairs stand where a file has dicts.

  Attributes:
    name: of the module.
    State: [State] a NamedTuple of arrays [B, ...]; zeros are the empty memory.
    forms: [FORMS] name -> `form(params, inputs, state, reset=None, **options) -> (y,
      state)`. All give the same; the first is the reference.
    example: [example] `(key, batch_size, length) -> (params, inputs, state)`.
    stress: [stress] the same with the hardest legal inputs.
    transition: [TRANSITION] what a token does to the state: "diagonal", "complex",
      "matrix"; None of what is not linear, or has no such summary.
    reverse_only: [REVERSE_ONLY] forms that refuse forward mode.
    step: [step] `(params, inputs_t, state, **options) -> (y_t, state)`, the definition;
      None of an op that reads both ways.
    init_state: [init_state] sizes -> the empty memory; None of a made op.
    axes: [AXES] the logical names of the state's axes, a `State` of tuples; a mixer's
      `state_axes` is made of it. None of an op that no mixer of the package has.
    value: [VALUE] the index of the input without which a linear op writes nothing.
    join: [join] `(before, after, length, **options) -> state` of an op that keeps its
      last tokens: the state after both stretches.
    summary: [summary] `(last, inputs, state, reset) -> summary`: what a stretch does to
      any state, of an op that is no linear map; see `jaxmem.parallel.transitions`.
    initial: [initial] `state -> summary` of whatever left that state.
    compose: [compose] `(first, then) -> summary` of two stretches.
    cell_of: [cell_of] `**options -> ops.recurrence.cell.Cell` of a nonlinear cell.
    starts: [STARTS] fields of the state that a learned initial state may move: all of
      what is summed or a cell, unless the file says which; () of what keeps inputs.
    fastest: [FASTEST] backend -> the form that is fastest there; the second elsewhere.
    longest: [LONGEST] tokens of a document at most in the laws; 0 is any number.
    keywords: form name -> the keywords that it names; "step" -> those of the step.
    start: parameters of a learned initial state, which stand before those that a mixer
      gives; () of an op file.
  """

  name: str
  State: type
  forms: tuple[tuple[str, Form], ...]
  example: Callable
  stress: Callable
  transition: str | None
  reverse_only: tuple[str, ...]
  step: Callable[..., tuple[Array, AnyState]] | None = None
  init_state: Callable[..., AnyState] | None = None
  axes: AnyState | None = None
  value: int | None = None
  join: Callable[..., AnyState] | None = None
  summary: Callable | None = None
  initial: Callable[[AnyState], Any] | None = None
  compose: Callable[[Any, Any], Any] | None = None
  cell_of: Callable[..., Any] | None = None
  starts: tuple[str, ...] = ()
  fastest: tuple[tuple[str, str], ...] = ()
  longest: int = 0
  keywords: tuple[tuple[str, tuple[str, ...]], ...] = ()
  start: tuple[Array, ...] = ()

  def form(self, name: str) -> Form:
    """Returns the form of a name.

    Args:
      name: a key of FORMS.
    """
    return dict(self.forms)[name]

  @property
  def form_names(self) -> tuple[str, ...]:
    """The names of the forms, the reference first."""
    return tuple(name for name, _ in self.forms)

  def takes(self, name: str, keyword: str) -> bool:
    """Returns whether a form, or the step, has a keyword.

    Args:
      name: of the form, or "step".
      keyword: such as "chunk_size".
    """
    return keyword in dict(self.keywords)[name]

  def fast_form(self) -> str:
    """Returns the name of the form that is fastest on this backend."""
    first, *others = self.form_names
    fallback = others[0] if others else first  # the reference is seldom the fastest
    return dict(self.fastest).get(jax.default_backend(), fallback)


def view(module: ModuleType) -> Op:
  """Returns the record of an op file.

  Args:
    module: the file, imported.
  """
  names: dict[str, Any] = vars(module)
  step, forms, transition = names.get("step"), names["FORMS"], names.get("TRANSITION")
  state: Any = names.get("State")
  # a sum or a cell may start anywhere; a window holds inputs, and there are none before
  is_summed = transition is not None or "cell_of" in names
  functions = forms | ({} if step is None else {"step": step})
  # fields that a file calls as the record does, and may leave out
  same_names = ("init_state", "join", "summary", "compose", "cell_of")
  optional: dict[str, Any] = {name: names.get(name) for name in same_names}
  return Op(
    name=module.__name__,
    State=state,
    forms=tuple(forms.items()),
    example=names["example"],
    stress=names["stress"],
    transition=transition,
    reverse_only=tuple(names["REVERSE_ONLY"]),
    step=step,
    axes=names.get("AXES"),
    value=names.get("VALUE"),
    initial=names.get("initial", names.get("given")),  # `given` before 0.2
    starts=names.get("STARTS", state._fields if is_summed else ()),
    fastest=tuple(names.get("FASTEST", {}).items()),
    longest=names.get("LONGEST", 0),
    # pairs, not dicts: the record must be hashable, as caches are kept by it
    keywords=tuple((name, _keywords(f)) for name, f in functions.items()),
    **optional,
  )


def _keywords(function: Callable) -> tuple[str, ...]:
  return tuple(inspect.signature(function).parameters)
