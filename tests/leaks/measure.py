"""Runs laws 3 to 6 on a layer, and finds the smallest input of each failure."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxmem.testing import laws
from jaxmem.testing.cases import LENGTH, Case
from jaxmem.testing.suite import BORDERS, Suite, with_gradients
from jaxmem.testing.tolerance import worst

from .layer import Layer

HOLDS, BROKEN, REFUSED = "holds", "broken", "refused"
LONGEST = 12  # tokens searched for the smallest input, past a border of chunks
NO_STATE, NO_CONVOLUTION = "no state", "none"


@dataclasses.dataclass
class Collected(Suite):
  """The suite of the laws; a failure is kept, so that it does not hide the next.

  Attributes:
    gradients: whether the laws that are run need them; a layer that writes its cache in
      place has none of what it carries.
    errors: (what is compared, error as a multiple of what is allowed).
  """

  gradients: bool = True
  errors: list[tuple[str, float]] = dataclasses.field(default_factory=list)

  def __post_init__(self):
    super().__post_init__()
    if not self.gradients:
      self.run = {name: _values_alone(form) for name, form in self.forward.items()}

  def expect(self, law, form, what, got, want, dtype="float32", since=0):
    """Keeps the error of two trees."""
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
      self.errors.append((what, worst(g, w, dtype)[0]))

  def fail(self, law, form, message):
    """Keeps what no number measures, such as a state of another shape."""
    self.errors.append((message, np.inf))

  def verdict(self, begins: str = "") -> str:
    """Returns what holds of the comparisons whose name begins with `begins`."""
    errors = [error for what, error in self.errors if what.startswith(begins)]
    assert errors, f"nothing of {self.case.name} was compared: {begins!r}"
    return HOLDS if max(errors) <= 1 else BROKEN


def _values_alone(form: Callable) -> Callable:
  return lambda params, inputs, state, reset, *_: (
    *form(params, inputs, state, reset),
    (),
  )


def _suite(case: Case, borders=BORDERS, gradients=True) -> Collected:
  key = jax.random.key(0)
  return Collected(case, key, borders=borders, gradients=gradients)


def _form(case: Case) -> str:
  (name,) = case.forms
  return name


def measured(layer: Layer) -> dict[str, Any]:
  """Returns the cells of a layer's row, and the smallest input of each failure.

  Args:
    layer: see `Layer`.
  """
  cells, smallest = {}, {}
  cells["values"], cells["gradients"] = _packed(layer.packed, smallest)
  cells["convolution"] = NO_CONVOLUTION
  if layer.convolution is not None:
    found: dict = {}
    verdicts = _packed(layer.convolution, found)
    cells["convolution"] = next((v for v in verdicts if v != HOLDS), HOLDS)
    smallest |= {f"convolution, {key}": value for key, value in found.items()}
  cells["split"], cells["state"] = NO_STATE, NO_STATE
  if layer.carried is not None:
    cells["split"] = _split(layer.carried, smallest)
    cells["state"] = _state(layer)
  cells["causality"] = _causality(layer.carried or layer.packed, smallest)
  return {"cells": cells, "smallest": smallest}


def _packed(case: Case, smallest: dict) -> tuple[str, str]:
  """Law 4, in values and in gradients."""
  suite = _suite(case)
  try:
    laws.law_4_packed_is_separate(suite, _form(case))
  except Exception as error:  # whatever a layer raises where it is told of documents
    if not case.carries:
      _runs_without_documents(case)
    smallest["refusal"] = {"message": _last_line(error)}
    return REFUSED, REFUSED
  verdicts = suite.verdict("y"), suite.verdict("gradient")
  if verdicts[0] == BROKEN:
    smallest["values"] = _first(_value_leaks(case))
  if verdicts[1] == BROKEN:
    smallest["gradients"] = _first(_gradient_leaks(case))
  return verdicts


def _runs_without_documents(case: Case) -> None:
  """Raises the layer's error where the call is at fault, and not the telling."""
  params, inputs, state = _example(case, 8)
  jax.block_until_ready(_call(case, params, inputs, state))


def _last_line(error: Exception) -> str:
  """The layer's own message: the last line of a traceback that names an exception."""
  lines = [line.strip() for line in str(error).splitlines()]
  named = [line for line in lines if "Error: " in line]
  return (named or lines or [repr(error)])[-1]


def _split(case: Case, smallest: dict) -> str:
  """Law 3; what generation does, a prompt and then single tokens, is told apart."""
  suite = _suite(case, borders=(), gradients=False)
  laws.law_3_split_anywhere(suite, _form(case))
  verdict = suite.verdict()
  if verdict == BROKEN:
    pieces = _first(_splits(case, one_by_one=False))
    tokens = _first(_splits(case, one_by_one=True))
    smallest["split, in two calls"] = pieces
    smallest["split, then single tokens"] = tokens
    if pieces and not tokens:
      verdict = "single tokens alone"
  return verdict


def _state(layer: Layer) -> str:
  """Law 6: the same tree, shapes and dtypes after any call; zeros are a fresh start."""
  case, form = layer.carried, _form(layer.carried)
  suite = _suite(case, borders=(), gradients=False)
  laws.law_6_state_keeps_its_shape(suite, form)
  shapes = [error for what, error in suite.errors if what != "state"]
  if shapes:
    return BROKEN
  params, inputs, state = _example(case, LENGTH)
  fresh, _ = _call(layer.packed, params, inputs, _example(layer.packed, LENGTH)[2])
  zeros, _ = _call(case, params, inputs, jax.tree.map(np.zeros_like, state))
  return HOLDS if worst(zeros, fresh, "float32")[0] <= 1 else "empty is not zeros"


def _causality(case: Case, smallest: dict) -> str:
  """Law 5, not told of documents: a layer that refuses them can be asked, too."""
  suite = _suite(case, borders=(), gradients=False)
  laws.law_5_causality(suite, _form(case))
  verdict = suite.verdict()
  if verdict == BROKEN:
    smallest["causality"] = _first(_looks_ahead(case))
  return verdict


# The smallest input: one row, the empty memory, lengths from 2 on.


def _example(case: Case, length: int):
  params, inputs, state = jax.device_get(case.example(jax.random.key(1), 1, length))
  empty = case.init_state(1) if case.init_state else jax.tree.map(np.zeros_like, state)
  return params, inputs, jax.device_get(empty)


def _call(case, params, inputs, state, reset=None):
  length = jax.tree.leaves(inputs)[0].shape[1]
  reset = np.zeros((1, length), bool) if reset is None else reset
  return jax.device_get(case.forms[_form(case)](params, inputs, state, reset))


def _begins_at(length: int, token: int) -> np.ndarray:
  return (np.arange(length) == token)[None]


def _cut(inputs, begin: int, end: int | None = None):
  return jax.tree.map(lambda a: a[:, begin:end], inputs)


def _first(failures: Iterator[dict]) -> dict | None:
  """Returns the failure of the least length, and of the largest difference there."""
  found: dict | None = None
  for failure in failures:
    if found and failure["length"] > found["length"]:
      break
    if not found or failure["difference"] > found["difference"]:
      found = failure
  return found


def _failure(got, want, **where) -> dict | None:
  if worst(got, want, "float32")[0] <= 1:
    return None
  difference = np.abs(np.float64(got) - np.float64(want)).max()
  size = np.abs(np.float64(want)).max()
  return where | {"difference": float(difference), "largest": float(size)}


def _value_leaks(case: Case) -> Iterator[dict]:
  """Two documents that meet at `begin`: the second one against itself alone."""
  for length in range(2, LONGEST + 1):
    params, inputs, empty = _example(case, length)
    for begin in range(1, length):
      packed, _ = _call(case, params, inputs, empty, _begins_at(length, begin))
      alone, _ = _call(case, params, _cut(inputs, begin), empty)
      failure = _failure(packed[:, begin:], alone, length=length, begin=begin)
      if failure:
        yield failure


def _gradient_leaks(case: Case) -> Iterator[dict]:
  """A loss on the second document alone: the gradient of the first one's inputs."""
  run = jax.jit(with_gradients(case.forms[_form(case)]))
  for length in range(2, LONGEST + 1):
    params, inputs, empty = _example(case, length)
    for begin in range(1, length):
      reset = _begins_at(length, begin)
      y, state = _call(case, params, inputs, empty, reset)
      dy = np.where(np.arange(length)[None, :, None] >= begin, np.ones_like(y), 0)
      floats = [
        a for a in jax.tree.leaves(state) if np.issubdtype(a.dtype, np.floating)
      ]
      zeros = jax.tree.map(np.zeros_like, floats)
      _, _, (_, grads, _) = jax.device_get(run(params, inputs, empty, reset, dy, zeros))
      first = np.asarray(jax.tree.leaves(grads)[0])[:, :begin]
      failure = _failure(first, np.zeros_like(first), length=length, begin=begin)
      if failure:
        yield failure


def _splits(case: Case, one_by_one: bool) -> Iterator[dict]:
  """A call on the first tokens, then the rest: against one call on all of them."""
  for length in range(2, LONGEST + 1):
    params, inputs, empty = _example(case, length)
    whole, _ = _call(case, params, inputs, empty)
    for cut in range(1, length):
      _, state = _call(case, params, _cut(inputs, 0, cut), empty)
      ends = range(cut + 1, length + 1) if one_by_one else (length,)
      begin, outputs = cut, []
      for end in ends:
        y, state = _call(case, params, _cut(inputs, begin, end), state)
        outputs.append(y)
        begin = end
      rest = np.concatenate(outputs, axis=1)
      failure = _failure(rest, whole[:, cut:], length=length, begin=cut)
      if failure:
        yield failure


def _looks_ahead(case: Case) -> Iterator[dict]:
  """Other tokens from `begin` on: what they change before it."""
  for length in range(2, LONGEST + 1):
    params, inputs, empty = _example(case, length)
    y, _ = _call(case, params, inputs, empty)
    for begin in range(1, length):
      other = jax.tree.map(np.copy, inputs)
      for a in jax.tree.leaves(other):
        a[:, begin:] += 1
      changed, _ = _call(case, params, other, empty)
      failure = _failure(changed[:, :begin], y[:, :begin], length=length, begin=begin)
      if failure:
        yield failure
