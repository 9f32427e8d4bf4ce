"""Defines a comparison with an independent implementation, and measures it.

A peer runs once, by `python -m tests.parity`, and its answers are kept as arrays in
`golden/`; the tests compare ours with them and need no peer.
"""

import dataclasses
import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.testing.tolerance import worst

ROWS, LENGTH = 2, 37  # no multiple of any chunk
BORDERS = (13, 21)  # the first document continues the initial state
RESET = jnp.zeros((ROWS, LENGTH), bool).at[:, jnp.array(BORDERS)].set(True)
KINDS = ("y", "final state", "d weights", "d inputs", "d initial state")
GOLDEN = Path(__file__).parent / "golden"


@dataclasses.dataclass(frozen=True)
class Case:
  """One op or layer and one peer, both as `f(params, inputs, state) -> (y, state)`.

  Attributes:
    op: the op's or mixer's name.
    peer: what the table calls the peer.
    module: what must be importable to ask it.
    shapes: (params, inputs, state), tuples or dicts of shapes.
    forms: ours, by form.
    theirs: `() -> f`, called once the peer is known to be there.
    prepare: makes legal values of normal draws.
    framework: "torch" or "jax", of the peer.
  """

  op: str
  peer: str
  module: str
  shapes: tuple
  forms: dict[str, Callable]
  theirs: Callable[[], Callable]
  prepare: Callable = lambda *trees: trees
  framework: str = "torch"

  @property
  def golden(self) -> Path:
    """Where the peer's answers are kept."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{self.op}-{self.peer}".lower())
    return GOLDEN / f"{name}.npz"

  def arguments(self) -> tuple:
    """Params, inputs and state, the same on every machine."""
    return self.prepare(*_random(self.shapes, seed=len(self.op)))


def shapes(params=(), inputs=(), state=()) -> tuple:
  """Returns the shapes of a case: inputs get rows and time, states rows."""

  def sequence(shape):
    return (ROWS, LENGTH, *shape)

  return params, tuple(map(sequence, inputs)), tuple((ROWS, *s) for s in state)


def ours(op, form, reset=RESET, **options) -> Callable:
  """Returns a form of an op as a function of plain tuples of arrays."""

  def run(params, inputs, state):
    y, new = op.FORMS[form](params, inputs, op.State(*state), reset, **options)
    return y, tuple(new)

  return run


def by_document(peer: Callable) -> Callable:
  """Calls a torch peer that has no resets once for each document."""
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    outputs, edges = [], (0, *BORDERS, LENGTH)
    for begin, end in zip(edges, edges[1:], strict=False):
      if begin:
        state = tuple(torch.zeros_like(s) for s in state)
      y, state = peer(params, tuple(a[:, begin:end] for a in inputs), state)
      outputs.append(y)
    return torch.cat(outputs, dim=1), state

  return run


def ask(case: Case) -> None:
  """Saves the peer's outputs, final states and gradients as golden arrays."""
  args = case.arguments()
  by = {"jax": _by_jax, "torch": _by_torch}[case.framework]
  (y, state), grads = by(case.theirs(), args, _cotangents(case, args))
  answers = {}
  for kind, tree in zip(KINDS, (y, tuple(state), *grads), strict=True):
    for i, leaf in enumerate(jax.tree.leaves(tree)):
      answers[f"{kind}/{i}"] = np.asarray(leaf, np.float32)
  np.savez_compressed(case.golden, **answers)


def measure(case: Case, form: str) -> dict[str, tuple[float, float]]:
  """Maps kinds to (error relative to the largest element, multiple of the tolerance).

  The gradients are those of one random cotangent for y and the final state.
  """
  args = case.arguments()
  cotangents = _cotangents(case, args)
  run = jax.jit(lambda *a: _by_jax(_traced(case.forms[form]), a, cotangents))
  (y, state), grads = run(*args)
  with np.load(case.golden) as golden:
    errors = {}
    for kind, tree in zip(KINDS, (y, tuple(state), *grads), strict=True):
      got = jax.tree.leaves(tree)
      want = [golden[key] for key in golden if key.startswith(kind + "/")]
      if want:
        errors[kind] = _worst(got, want)
    return errors


def _random(shapes, seed):
  # the legacy generator: its stream is frozen for ever
  rng = np.random.RandomState(seed)

  def draw(shape):
    return np.asarray(rng.normal(size=shape), np.float32)

  def is_shape(s):
    return type(s) is tuple and bool(s) and all(type(n) is int for n in s)

  return jax.tree.map(draw, shapes, is_leaf=is_shape)


@functools.cache
def _traced(form):
  """Returns the traced form, so that y and the gradients share one trace."""
  return jax.jit(form)


def _cotangents(case, args):
  shape = _traced(next(iter(case.forms.values()))).eval_shape(*args)
  return jax.tree.leaves(_random(jax.tree.map(lambda a: a.shape, shape), seed=1))


def _by_jax(f, args, cotangents):
  out, pull = jax.vjp(f, *args)
  return out, pull(jax.tree.unflatten(jax.tree.structure(out), cotangents))


def _by_torch(f, args, cotangents):
  torch = importlib.import_module("torch")
  leaves, tree = jax.tree.flatten(args)
  leaves = [torch.tensor(np.asarray(a), requires_grad=True) for a in leaves]
  out = f(*jax.tree.unflatten(tree, leaves))
  weights = [torch.tensor(c) for c in cotangents]
  grads = torch.autograd.grad(
    jax.tree.leaves(out), leaves, weights, allow_unused=True, materialize_grads=True
  )

  def numbers(a):
    return a.detach().numpy()

  return jax.tree.map(numbers, (out, jax.tree.unflatten(tree, grads)))


def _worst(got, want):
  """Returns the error relative to the largest element, and over the tolerance."""
  errors, allowed = [], 0.0
  for g, w in zip(got, want, strict=True):
    g = np.asarray(g)
    errors.append(float(np.abs(g - w).max()))
    allowed = max(allowed, worst(g, w, "float32")[0])
  # where the peer has exactly 0 (a memory that is not written) ours must have it
  return max(errors) / (max(float(np.abs(w).max()) for w in want) or 1), allowed
