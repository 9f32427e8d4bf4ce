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
from jaxmem.testing.trees import is_float

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
STRESS_LENGTH = 80  # longer than the largest default chunk
PROBES = 4  # random directions of rounding, see `Suite.moves`


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
    """The name of the form that all others are compared with."""
    return next(iter(self.case.forms))

  @functools.cached_property
  def cotangents(self) -> tuple:
    """Random cotangents of y and of the float leaves of the state."""
    y, state = self.forward[self.reference].eval_shape(
      self.params, self.inputs, self.state, self.reset
    )
    random = np.random.default_rng(np.asarray(jax.random.key_data(self.key)))

    def draw(a):
      return random.normal(size=a.shape).astype(a.dtype)

    return draw(y), [draw(a) for a in jax.tree.leaves(state) if is_float(a)]

  @property
  def dy(self) -> np.ndarray:
    """The cotangent of y."""
    return self.cotangents[0]

  @property
  def dstate(self) -> list:
    """The cotangents of the float leaves of the state."""
    return self.cotangents[1]

  @functools.cached_property
  def other(self) -> tuple:
    """Inputs that differ from `inputs` everywhere: what a change is made of."""
    another = jax.random.fold_in(self.key, 1)
    return jax.device_get(self.draw(another, self.batch_size, self.length)[1])

  @functools.cached_property
  def stress(self) -> tuple:
    """The hardest legal inputs, longer than the largest default chunk."""
    assert self.case.stress, "a mixer has none: only laws of ops ask"
    draw = jax.jit(self.case.stress, static_argnums=(1, 2))  # a compilation, not many
    return jax.device_get(draw(self.key, 2, STRESS_LENGTH))

  @functools.cached_property
  def whole(self) -> dict:
    """What every form gives on the whole example: y, state and gradients."""
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
    random, eps = np.random.default_rng(0), jnp.finfo(jnp.float32).eps

    def perturbed(a):
      sign = random.choice((-1, 1), a.shape)
      return a * (1 + eps * sign).astype(a.dtype) if is_float(a) else a

    def larger(most, a, b):
      return max(most, 2 * float(np.abs(a - b).max(initial=0)))

    exact, run = self.whole[self.reference], self.run[self.reference]
    most = jax.tree.map(lambda a: 0.0, exact)
    for _ in range(PROBES):
      args = (self.params, self.inputs, self.state)
      params, inputs, state = jax.tree.map(perturbed, args)
      rounded = run(params, inputs, state, self.reset, self.dy, self.dstate)
      most = jax.tree.map(larger, most, exact, jax.device_get(rounded))
    y, state, gradient = most
    # by the names under which `expect` compares them
    trees = {"y": y, "state": state, "gradient": gradient}
    for name, tree in zip(("params", "inputs", "state"), gradient, strict=True):
      trees[f"gradient of {name}"] = tree
    return {name: jax.tree.leaves(tree) for name, tree in trees.items()}

  def piece(
    self, form: str, begin: int, length: int, state: State, reset: np.ndarray
  ) -> tuple[np.ndarray, State]:
    """Reads `length` tokens from `begin` on.

    Args:
      form: the name of the form.
      begin: the first token.
      length: of the piece; a new one is a compilation.
      state: memory before the piece.
      reset: [B, T], of the whole example.

    Returns:
      y of the piece, and the state after it.
    """
    inputs, reset = jax.tree.map(
      lambda a: a[:, begin : begin + length], (self.inputs, reset)
    )
    return jax.device_get(self.forward[form](self.params, inputs, state, reset))

  def __call__(self, form, inputs=None, state=None, reset=None, dy=None, dstate=None):
    """Returns y, the state and the gradients of a form on the example.

    What is named replaces the example's: one compiled function a form serves all laws,
    by changing values only.
    """
    result = self.run[form](
      self.params,
      self.inputs if inputs is None else inputs,
      self.state if state is None else state,
      self.reset if reset is None else reset,
      self.dy if dy is None else dy,
      self.dstate if dstate is None else dstate,
    )
    return jax.device_get(result)

  def expect(self, law, form, what, got, want, dtype="float32", since=0):
    """Raises LawError unless two trees agree, and keeps the error as a row.

    Args:
      law: its number.
      form: the name of the form.
      what: what is compared, in messages; "y" has positions (row, token).
      got: the tree.
      want: the tree that it should equal.
      dtype: a key of the table of tolerances, or "exact".
      since: the token that the first one of y is.
    """
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
    """Raises LawError for a form, with the title of the law."""
    who = f"{self.case.name}, form {form!r}"
    raise LawError(f"law {law} ({TITLES[law]}) is broken by {who}: {message}")


def _describe(name, got, want, at, since) -> str:
  if got.shape != want.shape:
    return f"{name} has shape {got.shape} instead of {want.shape}"
  position = f"at index {at}"
  if name == "y" and len(at) > 1:
    position = f"at row {at[0]}, token {at[1] + since}"
  elif name.startswith("state"):
    position = f"in row {at[0]}"
  numbers = [float(np.asarray(a, np.float64)[at]) for a in (got, want)]
  return f"{name} is {numbers[0]:.6g} instead of {numbers[1]:.6g} {position}"


def with_gradients(form) -> Callable:
  """Makes a form return its gradients, too.

  Args:
    form: `(params, inputs, state, reset) -> (y, state)`.

  Returns:
    `(params, inputs, state, reset, dy, dstate) -> (y, state, gradients)` for cotangents
    of y and of the float leaves of the state; gradients of integers are None.
  """

  def run(params, inputs, state, reset, dy, dstate):
    leaves, tree = jax.tree.flatten((params, inputs, state))
    float_at = [i for i, a in enumerate(leaves) if is_float(a)]

    # jax.vjp takes floats alone: token ids and counters are closed over
    def of_floats(floats):
      full = list(leaves)
      for i, a in zip(float_at, floats, strict=True):
        full[i] = a
      params, inputs, state = jax.tree.unflatten(tree, full)
      y, new = form(params, inputs, state, reset)
      return (y, [a for a in jax.tree.leaves(new) if is_float(a)]), new

    (y, _), vjp, new = jax.vjp(of_floats, [leaves[i] for i in float_at], has_aux=True)
    (grads,) = vjp((dy, dstate))
    full = [None] * len(leaves)  # integers have no gradient
    for i, g in zip(float_at, grads, strict=True):
      full[i] = g
    return y, new, jax.tree.unflatten(tree, full)

  return run


def in_float64(form, params, inputs, state, reset=None):
  """Returns y and state of a form on the same numbers in float64.

  Args:
    form: the form.
    params: its parameters.
    inputs: its inputs.
    state: memory before the first token.
    reset: True on the first token of a document.
  """

  def wide(a):
    return np.asarray(a, np.float64) if is_float(a) else np.asarray(a)

  params, inputs, state = jax.tree.map(wide, (params, inputs, state))
  with jax.enable_x64(True):  # for this call alone: users run in float32
    return jax.device_get(form(params, inputs, state, reset))
