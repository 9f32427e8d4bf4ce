"""A case under test: what is computed once, and how two results are compared."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.core.typing import State
from jaxmem.testing.cases import LENGTH, Case
from jaxmem.testing.layers import LawError
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
CUTS = (1, 15, *8 * (1,))  # two lengths are two compilations
STRESS_LENGTH = 80
PROBES = 4


@dataclasses.dataclass
class Suite:
  """A case, and what has been computed on it so far.

  Attributes:
    case: what is under test.
    key: of the random case.
    batch_size: rows.
    length: tokens.
    borders: (row, token) where a document begins.
    deep: whether `moves` is added to what the table of tolerances allows.
    rows: the comparisons made.
  """

  case: Case
  key: jax.Array
  batch_size: int = 2
  length: int = LENGTH
  borders: tuple[tuple[int, int], ...] = BORDERS
  deep: bool = False
  rows: list = dataclasses.field(default_factory=list)

  def __post_init__(self):
    shape = (self.batch_size, self.length)
    self.draw = jax.jit(self.case.example, static_argnums=(1, 2))
    # Values are changed in NumPy: in JAX every slice is a compilation.
    self.params, self.inputs, self.state = jax.device_get(self.draw(self.key, *shape))
    self.reset = np.zeros(shape, bool)
    for border in self.borders:
      self.reset[border] = True
    # A form is traced once for each shape: gradients and transforms reuse the trace.
    self.forward = self.case.forms
    self.run = {name: jax.jit(with_gradients(f)) for name, f in self.forward.items()}

  @property
  def reference(self) -> str:
    return next(iter(self.case.forms))

  @functools.cached_property
  def cotangents(self) -> tuple:
    """Random ones of y and of the float leaves of the state."""
    y, state = self.forward[self.reference].eval_shape(
      self.params, self.inputs, self.state, self.reset
    )
    random = np.random.default_rng(np.asarray(jax.random.key_data(self.key)))
    draw = lambda a: random.normal(size=a.shape).astype(a.dtype)
    return draw(y), [draw(a) for a in jax.tree.leaves(state) if is_float(a)]

  @property
  def dy(self) -> np.ndarray:
    return self.cotangents[0]

  @property
  def dstate(self) -> list:
    return self.cotangents[1]

  @functools.cached_property
  def other(self) -> tuple:
    """Inputs that differ from `inputs` everywhere."""
    another = jax.random.fold_in(self.key, 1)
    return jax.device_get(self.draw(another, self.batch_size, self.length)[1])

  @functools.cached_property
  def stress(self) -> tuple:
    """The hardest legal inputs, longer than the largest default chunk."""
    draw = jax.jit(self.case.stress, static_argnums=(1, 2))
    return jax.device_get(draw(self.key, 2, STRESS_LENGTH))

  @functools.cached_property
  def whole(self) -> dict:
    """Every form on the whole example: y, state and gradients."""
    return {name: self(name) for name in self.run}

  @functools.cached_property
  def moves(self) -> dict[str, list[float]]:
    """How far each leaf of the reference moves when every float is off by a rounding.

    Nothing made of rounded numbers is known better: a norm over a reading that happens
    to be nearly 0 magnifies the rounding of all layers before it. The largest of some
    random directions, twice, as both results that are compared are rounded.
    """
    if not self.deep:
      return {}
    draw, one = np.random.default_rng(0), jnp.finfo(jnp.float32).eps

    def off(a):
      sign = draw.choice((-1, 1), a.shape)
      return a * (1 + one * sign).astype(a.dtype) if is_float(a) else a

    here = self.whole[self.reference]
    most = jax.tree.map(lambda a: 0.0, here)
    larger = lambda m, a, b: max(m, 2 * float(np.abs(a - b).max(initial=0)))
    for _ in range(PROBES):
      args = jax.tree.map(off, (self.params, self.inputs, self.state))
      run = self.run[self.reference]
      there = jax.device_get(run(*args, self.reset, self.dy, self.dstate))
      most = jax.tree.map(larger, most, here, there)
    y, state, gradient = most
    of = dict(zip(("params", "inputs", "state"), gradient, strict=True))
    named = {"y": y, "state": state, "gradient": gradient}
    named |= {f"gradient of {name}": tree for name, tree in of.items()}
    return {name: jax.tree.leaves(tree) for name, tree in named.items()}

  def piece(
    self, form: str, begin: int, length: int, state: State, reset: np.ndarray
  ) -> tuple[np.ndarray, State]:
    """y of the tokens `begin` to `begin + length` read from a state, and the state."""
    cut = lambda a: a[:, begin : begin + length]
    inputs, reset = jax.tree.map(cut, (self.inputs, reset))
    return jax.device_get(self.forward[form](self.params, inputs, state, reset))

  def __call__(self, form, inputs=None, state=None, reset=None, dy=None, dstate=None):
    """One compiled function a form serves all laws, by changing values only."""
    given = lambda new, old: old if new is None else new
    result = self.run[form](
      self.params,
      given(inputs, self.inputs),
      given(state, self.state),
      given(reset, self.reset),
      given(dy, self.dy),
      given(dstate, self.dstate),
    )
    return jax.device_get(result)

  def expect(self, law, form, what, got, want, dtype="float32", since=0):
    """Raises unless two trees agree; the position of y is (row, token)."""
    got_leaves = jax.tree_util.tree_leaves_with_path(got)
    want_leaves = jax.tree.leaves(want)
    moves = self.moves.get(what, [0.0] * len(want_leaves))
    for (path, g), w, m in zip(got_leaves, want_leaves, moves, strict=True):
      error, at = worst(g, w, dtype, m)
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


def in_float64(form, params, inputs, state, reset=None):
  """y and state of a form on the same numbers in float64."""
  wide = lambda a: np.asarray(a, np.float64) if is_float(a) else np.asarray(a)
  case = jax.tree.map(wide, (params, inputs, state))
  with jax.enable_x64(True):
    return jax.device_get(form(*case, reset))
