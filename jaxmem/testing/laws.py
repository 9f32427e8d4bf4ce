"""The laws that every memory obeys, checked by values on a few compiled functions.

`check_laws(thing)` raises `LawError`, which names the law, the form and the position.
Law 7 needs many devices: `check_shards`. Law 10 (checkpoints) needs a disk.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.testing import cases, full_laws
from jaxmem.testing.cases import LENGTH
from jaxmem.testing.suite import (
  BORDERS,
  CUTS,
  Suite,
  in_float64,
  is_float,
  with_gradients,
)


def law_1_forms_agree(suite: Suite, form: str) -> None:
  """Every form equals the reference in output and final state, and that float64."""
  y, state, _ = suite.whole[form]
  y0, state0, _ = suite.whole[suite.reference]
  suite.expect(1, form, "y", y, y0)
  suite.expect(1, form, "state", state, state0)
  if form == suite.reference and suite.case.stress:
    args = (suite.params, suite.inputs, suite.state, suite.reset)
    y64, state64 = in_float64(suite.forward[form], *args)
    suite.expect(1, form, "y", y, y64)
    suite.expect(1, form, "state", state, state64)


def law_2_gradients_agree(suite: Suite, form: str) -> None:
  """With respect to every parameter, every input and the initial state."""
  names = ("gradient of params", "gradient of inputs", "gradient of state")
  for name, got, want in zip(
    names, suite.whole[form][2], suite.whole[suite.reference][2], strict=True
  ):
    suite.expect(2, form, name, got, want)


def law_3_split_anywhere(suite: Suite, form: str) -> None:
  """f(x) = f(x2, f(x1)), in pieces of 1 and 15 tokens, then one by one: decoding."""
  if not suite.case.causal:
    return
  y, state, _ = suite.whole[form]
  now, begin = suite.state, 0
  for length in CUTS:
    got, now = suite.piece(form, begin, length, now, suite.reset)
    suite.expect(3, form, "y", got, y[:, begin : begin + length], since=begin)
    begin += length
  suite.expect(3, form, "state", now, state)


def law_4_packed_is_separate(suite: Suite, form: str) -> None:
  """Values and gradients of packed documents are those of separate ones."""
  token = np.arange(LENGTH)
  row, begin, end = 0, *[t for b, t in BORDERS if b == 0]
  empty = jax.tree.map(np.zeros_like, suite.state)

  # nothing before a border reaches behind it: the rest may be anything
  y, state, _ = suite.whole[form]
  before = lambda a, b: np.concatenate([b[:, :end], a[:, end:]], axis=1)
  changed = jax.tree.map(before, suite.inputs, suite.other)
  y2, state2, _ = suite(form, inputs=changed, state=empty)
  after = lambda a: np.asarray(a)[row : row + 1, end:]
  suite.expect(4, form, "y", after(y2), after(y), "exact", since=end)
  suite.expect(4, form, "state", _row(state2, row), _row(state, row), "exact")

  # the last document alone, in an empty memory; token by token if that is decoding
  none, tail = np.zeros_like(suite.reset), LENGTH - end
  parts, state3, at = [], empty, end
  for length in (1,) * tail if suite.case.causal else (tail,):
    y3, state3 = suite.piece(form, at, length, state3, none)
    parts.append(y3)
    at += length
  y3 = np.concatenate(parts, axis=1)
  suite.expect(4, form, "y", after(y), _row(y3, row), since=end)
  suite.expect(4, form, "state", _row(state, row), _row(state3, row))

  # a document in the middle: the loss on it alone, against the same tokens put first
  inside = ((token >= begin) & (token < end))[None] & (np.arange(2) == row)[:, None]
  mask = lambda a: a * _fit(inside, a).astype(a.dtype)
  none = [np.zeros_like(a) for a in suite.dstate]
  packed = suite(form, dy=mask(suite.dy), dstate=none)
  roll = lambda a: np.roll(a, -begin, axis=1)
  alone = suite(
    form,
    inputs=jax.tree.map(roll, suite.inputs),
    state=empty,
    reset=np.zeros_like(suite.reset) | (token == end - begin),
    dy=roll(mask(suite.dy)),
    dstate=none,
  )
  shown = lambda run: mask(run)[:1]
  suite.expect(4, form, "y", shown(packed[0]), shown(np.roll(alone[0], begin, 1)))
  (dparams, dinputs, dstate), (dparams1, dinputs1, _) = packed[2], alone[2]
  suite.expect(4, form, "gradient of params", dparams, dparams1)
  back = jax.tree.map(lambda a: np.roll(a, begin, 1), dinputs1)
  suite.expect(4, form, "gradient of inputs", dinputs, jax.tree.map(mask, back))
  outside = jax.tree.map(lambda a: a - mask(a), dinputs)
  for name, grads in (("inputs of other documents", outside), ("state", dstate)):
    zeros = jax.tree.map(np.zeros_like, grads)
    suite.expect(4, form, f"gradient of {name}", grads, zeros, "exact")


def law_5_causality(suite: Suite, form: str) -> None:
  """Changing token t changes nothing before t, and nothing in another row.

  What reads both ways: changing a document changes nothing in another.
  """
  y, state, _ = suite.whole[form]
  begins = [0, *[t for b, t in BORDERS if b == 0]]
  both_ways = zip(begins, [*begins[1:], LENGTH], strict=True)
  ahead = ((t, LENGTH) for t in (1, 8, 12, LENGTH - 1))
  for begin, end in ahead if suite.case.causal else both_ways:
    change = lambda a, b, at=slice(begin, end): _put(a, np.s_[0, at], b)
    changed = jax.tree.map(change, suite.inputs, suite.other)
    y2, state2, _ = suite(form, inputs=changed)
    for what, got, want in (("y", y2, y), ("state", state2, state)):
      for row in range(1, suite.batch_size):
        if not _same(_row(got, row), _row(want, row)):
          message = f"its {what} changes with tokens {begin} to {end - 1} of row 0"
          suite.fail(5, form, f"row {row} sees row 0: {message}")
    suite.expect(5, form, "y", change(y2, y), y, "exact")


def law_6_state_keeps_its_shape(suite: Suite, form: str) -> None:
  """The same tree after any call, and zeros at the start."""
  for length in sorted(set(CUTS)):
    piece = jax.tree.map(lambda a, n=length: a[:, :n], (suite.inputs, suite.reset))
    args = suite.params, piece[0], suite.state, piece[1]
    _, new = suite.forward[form].eval_shape(*args)
    kind = lambda a: (a.shape, str(a.dtype))
    shapes = [jax.tree.map(kind, tree) for tree in (new, suite.state)]
    if jax.tree.structure(new) != jax.tree.structure(suite.state):
      suite.fail(6, form, f"the state becomes {jax.tree.structure(new)}")
    if shapes[0] != shapes[1]:
      suite.fail(
        6, form, f"after {length} tokens the state is {shapes[0]}, it was {shapes[1]}"
      )
  _state_keeps_its_dtype(suite, form)
  empty = jax.tree.map(np.zeros_like, suite.state)
  if suite.case.init_state is not None:
    start = suite.case.init_state(2)
    suite.expect(6, form, "state", start, empty, "exact")


def _state_keeps_its_dtype(suite: Suite, form: str) -> None:
  """The state of a memory that reads bfloat16 is what it is of one that reads float32.

  Else a loop over calls compiles anew, and sums are rounded to 8 bits.
  """
  low = lambda a: a.astype(jnp.bfloat16) if is_float(a) else a
  inputs = jax.tree.map(low, suite.inputs)
  args = suite.params, inputs, suite.state, suite.reset
  # what a layer of one dtype makes of another is JAX's rule, not the user's setting
  with jax.numpy_dtype_promotion("standard"):
    try:
      _, new = suite.forward[form].eval_shape(*args)
    except TypeError as error:
      reason = str(error).strip().splitlines()[0]
      suite.fail(6, form, f"bfloat16 inputs cannot be read: {reason}")
  dtypes = [jax.tree.map(lambda a: str(a.dtype), tree) for tree in (new, suite.state)]
  if dtypes[0] != dtypes[1]:
    suite.fail(
      6, form, f"after bfloat16 inputs the state is {dtypes[0]}, it was {dtypes[1]}"
    )


def law_6_zeros_are_empty(suite: Suite, form: str) -> None:
  """A reset on the first token is the same as the empty memory."""
  empty = jax.tree.map(np.zeros_like, suite.state)
  none = np.zeros_like(suite.reset)
  y, state, _ = suite(form, state=empty, reset=none)
  y2, state2, _ = suite(form, reset=_put(none, np.s_[:, 0], ~none))
  suite.expect(6, form, "y", y2, y)
  suite.expect(6, form, "state", state2, state)


def law_8_transforms_work(suite: Suite, form: str) -> None:
  """jit, vmap, grad and jax.checkpoint together give what grad under jit gives."""
  run = with_gradients(jax.checkpoint(suite.forward[form]))
  two = lambda tree: jax.tree.map(lambda a, b: np.stack([a, b]), tree, tree)
  args = (suite.inputs, suite.state, suite.reset, suite.dy, suite.dstate)
  mapped = jax.jit(jax.vmap(run, in_axes=(None, 0, 0, 0, 0, 0)))
  got = jax.device_get(mapped(suite.params, *map(two, args)))
  second = jax.tree.map(lambda a: a[1], got)
  names = ("y", "state", "gradient")
  for name, g, w in zip(names, second, suite.whole[form], strict=True):
    suite.expect(8, form, name, g, w)


def law_9_numbers_hold(suite: Suite, form: str) -> None:
  """On the stress inputs every form, with the chunks users get, agrees with float64."""
  if suite.case.stress is None:
    return
  reference = suite.forward[suite.reference]
  got = jax.jit(suite.case.as_released[form])(*suite.stress)
  want = in_float64(reference, *suite.stress)
  for name, g, w in zip(("y", "state"), got, want, strict=True):
    suite.expect(9, form, name, g, w)

  low = lambda a: a.astype(jnp.bfloat16) if is_float(a) else a
  args = (suite.params, jax.tree.map(low, suite.inputs), suite.state, suite.reset)
  got = suite.forward[form](*args)
  want = in_float64(reference, *args)
  for name, g, w in zip(("y", "state"), got, want, strict=True):
    suite.expect(9, form, name, g, w, "bfloat16")


def _row(tree, row):
  return jax.tree.map(lambda a: np.asarray(a)[row : row + 1], tree)


def _same(got, want) -> bool:
  equal = lambda a, b: np.array_equal(a, b, equal_nan=is_float(a))
  return all(jax.tree.leaves(jax.tree.map(equal, got, want)))


def _put(a, at, b):
  """a, with the numbers of b at some places."""
  a = a.copy()
  a[at] = b[at]
  return a


def _fit(mask, a):
  return mask.reshape(mask.shape + (1,) * (a.ndim - 2))


LAWS = (
  law_6_state_keeps_its_shape,  # first: another shape would break the others
  law_1_forms_agree,
  law_5_causality,
  law_4_packed_is_separate,
  law_6_zeros_are_empty,
  law_2_gradients_agree,
  law_3_split_anywhere,
  law_8_transforms_work,
  law_9_numbers_hold,
)


def check_laws(
  mixer_or_op: Any | ModuleType,
  *,
  inputs: Callable | None = None,
  full: bool = False,
  deep: bool = False,
  forms: tuple[str, ...] | None = None,
  seed: int = 0,
) -> list[tuple[int, str, float]]:
  """Checks laws 1-6, 8 and 9 on an op, a mixer, a block, a model, or anyone's layer.

      from jaxmem.testing import check_laws
      check_laws(MyMixer(d_model=8))

  Cost: two compilations of the gradient and two of the forward pass a form, for an op
  two more; about 2 CPU-seconds a form for a small memory.

  Args:
    mixer_or_op: an op file (a module with FORMS, example, stress), or a Flax module
      with `init_state(batch_size)` that is called as `(x, state, reset)`.
    inputs: `(key, batch_size, length) -> x` where x is not activations [B, T, d_model],
      such as token ids.
    full: also pieces of whole chunks, jvp, grad of grad, and 131,072 steps.
    deep: of a stack of memories, where one layer's rounding is magnified by the next:
      what is allowed of a value grows by how far that value moves, measured, when all
      parameters, inputs and states are off by one rounding.
    forms: names of the forms that are held to the laws; None is every form. They are
      compared with the reference all the same.
    seed: of the random case.

  Returns:
    A row for each comparison: law, form, error as a multiple of what is allowed.

  Raises:
    LawError: if a law is broken; the message names law, form and position. Or if what
      is given is no layer (`LayerError`); the message says what a layer needs.
  """
  suite = Suite(cases.of(mixer_or_op, inputs), jax.random.key(seed), deep=deep)
  for law in LAWS + (full_laws.FULL if full else ()):
    for form in suite.case.forms if forms is None else forms:
      law(suite, form)
  return suite.rows
