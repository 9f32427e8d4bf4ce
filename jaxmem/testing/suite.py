"""A case under test: what is computed once, and how two results are compared."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.testing.cases import LENGTH, Case
from jaxmem.testing.tolerance import worst

TITLES = {
  1: "forms agree",
  2: "gradients agree",
  3: "split anywhere",
  4: "packed = separate",
  5: "causality",
  6: "state is stable",
  7: "shards don't matter",
  8: "transforms work",
  9: "numbers hold",
  10: "saved = kept",
}

# Document borders: inside a chunk, on a chunk's border, on the first token of a call.
BORDERS = ((0, 5), (0, 16), (1, 0), (1, 13))
CUTS = (1, 15, 8)


class LawError(AssertionError):
  """A law is broken; the message names law, form and position."""


@dataclasses.dataclass
class Suite:
  """A case, and what has been computed on it so far."""

  case: Case
  key: jax.Array
  batch_size: int = 2
  length: int = LENGTH
  borders: tuple[tuple[int, int], ...] = BORDERS
  rows: list = dataclasses.field(default_factory=list)

  def __post_init__(self):
    shape = (self.batch_size, self.length)
    self.params, self.inputs, self.state = self.case.example(self.key, *shape)
    self.reset = jnp.zeros(shape, bool)
    for border in self.borders:
      self.reset = self.reset.at[border].set(True)
    forms = self.case.forms
    self.run = {name: jax.jit(with_gradients(form)) for name, form in forms.items()}
    self.forward = {name: jax.jit(form) for name, form in forms.items()}
    y, state = jax.eval_shape(
      self.case.forms[self.reference], self.params, self.inputs, self.state, self.reset
    )
    draw = lambda i, a: jax.random.normal(jax.random.fold_in(self.key, i), a.shape)
    self.dy = draw(2, y).astype(y.dtype)
    floats = [a for a in jax.tree.leaves(state) if is_float(a)]
    self.dstate = [draw(3 + i, a).astype(a.dtype) for i, a in enumerate(floats)]

  @property
  def reference(self) -> str:
    return next(iter(self.case.forms))

  @functools.cached_property
  def other(self) -> tuple:
    """Inputs that differ from `inputs` everywhere."""
    another = jax.random.fold_in(self.key, 1)
    return self.case.example(another, self.batch_size, self.length)[1]

  @functools.cached_property
  def whole(self) -> dict:
    """Every form on the whole example: y, state and gradients."""
    return {name: self(name) for name in self.run}

  def __call__(self, form, inputs=None, state=None, reset=None, dy=None, dstate=None):
    """One compiled function a form serves all laws, by changing values only."""
    given = lambda new, old: old if new is None else new
    return self.run[form](
      self.params,
      given(inputs, self.inputs),
      given(state, self.state),
      given(reset, self.reset),
      given(dy, self.dy),
      given(dstate, self.dstate),
    )

  def expect(self, law, form, what, got, want, dtype="float32", since=0):
    """Raises unless two trees agree; the position of y is (row, token)."""
    got_leaves = jax.tree_util.tree_leaves_with_path(got)
    want_leaves = jax.tree.leaves(want)
    for (path, g), w in zip(got_leaves, want_leaves, strict=True):
      error, at = worst(g, w, dtype)
      if error > 1:
        name = what + jax.tree_util.keystr(path)
        self.fail(law, form, _describe(name, g, w, at, since))
      if np.isfinite(error):
        self.rows.append((law, form, error))

  def fail(self, law, form, message):
    who = f"{self.case.name}, form {form!r}"
    raise LawError(f"law {law} ({TITLES[law]}) is broken by {who}: {message}")


def _describe(name, got, want, at, since) -> str:
  if got.shape != want.shape:
    return f"{name} has shape {got.shape} instead of {want.shape}"
  place = f"at index {at}"
  if name == "y" and len(at) > 1:
    place = f"at row {at[0]}, token {at[1] + since}"
  elif name.startswith("state"):
    place = f"in row {at[0]}"
  number = lambda a: float(np.asarray(a, np.float64)[at])
  return f"{name} is {number(got):.6g} instead of {number(want):.6g} {place}"


def is_float(a) -> bool:
  """Whether an array can be differentiated."""
  return jnp.issubdtype(a.dtype, jnp.floating)


def with_gradients(form) -> Callable:
  """(y, state, gradients) of a form, for cotangents of y and of the float state."""

  def run(params, inputs, state, reset, dy, dstate):
    leaves, tree = jax.tree.flatten((params, inputs, state))
    float_at = [i for i, a in enumerate(leaves) if is_float(a)]

    def of_floats(floats):
      full = list(leaves)
      for i, a in zip(float_at, floats, strict=True):
        full[i] = a
      y, new = form(*jax.tree.unflatten(tree, full), reset)
      return (y, [a for a in jax.tree.leaves(new) if is_float(a)]), new

    (y, _), pull, new = jax.vjp(of_floats, [leaves[i] for i in float_at], has_aux=True)
    (grads,) = pull((dy, dstate))
    full = [None] * len(leaves)
    for i, g in zip(float_at, grads, strict=True):
      full[i] = g
    return y, new, jax.tree.unflatten(tree, full)

  return run
