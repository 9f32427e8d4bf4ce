"""The laws that every memory obeys, checked by values on a few compiled functions.

`check_laws(thing)` raises `LawError`, which names the law, the form and the position.
Law 7 needs many devices: `check_shards`. Law 10 (checkpoints) needs a disk.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jaxmem.testing import cases, full_laws, trees
from jaxmem.testing.suite import (
  CUTS,
  Suite,
  in_float64,
  with_gradients,
)


def law_1_forms_agree(suite: Suite, form: str) -> None:
  """Every form equals the reference in output and final state; that equals float64."""
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
  """Gradients of every parameter, input and initial state equal the reference's."""
  names = ("gradient of params", "gradient of inputs", "gradient of state")
  for name, got, want in zip(
    names, suite.whole[form][2], suite.whole[suite.reference][2], strict=True
  ):
    suite.expect(2, form, name, got, want)


def law_3_split_anywhere(suite: Suite, form: str) -> None:
  """f(x) equals f(x2, f(x1)), in pieces of 1 and 15 tokens, then token by token."""
  if not (suite.case.causal and suite.case.carries):
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
  begin, end = [token for row, token in suite.borders if row == 0]
  _forgets_at(suite, form, end)
  _last_document_is_alone(suite, form, end)
  _document_inside_is_alone(suite, form, begin, end)


def _forgets_at(suite: Suite, form: str, border: int) -> None:
  """Other inputs before a border of row 0 change nothing behind it, to the last bit."""
  y, state, _ = suite.whole[form]
  changed = trees.put(suite.inputs, np.s_[:, :border], suite.other)
  empty = jax.tree.map(np.zeros_like, suite.state)
  y2, state2, _ = suite(form, inputs=changed, state=empty)
  after, after2 = (trees.row(a, 0)[:, border:] for a in (y, y2))
  suite.expect(4, form, "y", after2, after, "exact", since=border)
  suite.expect(4, form, "state", trees.row(state2, 0), trees.row(state, 0), "exact")


def _last_document_is_alone(suite: Suite, form: str, border: int) -> None:
  """The last document of row 0 equals the same tokens read from an empty memory."""
  y, state, _ = suite.whole[form]
  no_reset, tail = np.zeros_like(suite.reset), suite.length - border
  outputs, alone, at = [], jax.tree.map(np.zeros_like, suite.state), border
  # token by token where that is decoding: what is carried is forgotten like the rest
  decodes = suite.case.causal and suite.case.carries
  for length in (1,) * tail if decodes else (tail,):
    y_piece, alone = suite.piece(form, at, length, alone, no_reset)
    outputs.append(y_piece)
    at += length
  y_alone = trees.row(np.concatenate(outputs, axis=1), 0)
  suite.expect(4, form, "y", trees.row(y, 0)[:, border:], y_alone, since=border)
  suite.expect(4, form, "state", trees.row(state, 0), trees.row(alone, 0))


def _document_inside_is_alone(suite: Suite, form: str, begin: int, end: int) -> None:
  """A loss on one document equals that on the same tokens at the start of a call."""
  token, rows = np.arange(suite.length), np.arange(suite.batch_size)
  inside = ((token >= begin) & (token < end))[None] & (rows == 0)[:, None]  # [B, T]
  dy, dstate = trees.masked(suite.dy, inside), [np.zeros_like(a) for a in suite.dstate]
  y, _, (dparams, dinputs, dbefore) = suite(form, dy=dy, dstate=dstate)
  y2, _, (dparams2, dinputs2, _) = suite(
    form,
    inputs=trees.rolled(suite.inputs, -begin),
    state=jax.tree.map(np.zeros_like, suite.state),
    reset=np.zeros_like(suite.reset) | (token == end - begin),
    dy=trees.rolled(dy, -begin),
    dstate=dstate,
  )
  y2, dinputs2 = trees.rolled(y2, begin), trees.rolled(dinputs2, begin)
  y, y2 = (trees.row(trees.masked(a, inside), 0) for a in (y, y2))
  suite.expect(4, form, "y", y, y2)
  suite.expect(4, form, "gradient of params", dparams, dparams2)
  dinputs2 = trees.masked(dinputs2, inside)  # the other tokens were read, too
  suite.expect(4, form, "gradient of inputs", dinputs, dinputs2)
  # exactly 0, not small: rounding noise of other documents would be a leak, too
  outside = trees.masked(dinputs, ~inside)
  for name, grads in (("inputs of other documents", outside), ("state", dbefore)):
    zeros = jax.tree.map(np.zeros_like, grads)
    suite.expect(4, form, f"gradient of {name}", grads, zeros, "exact")


def law_5_causality(suite: Suite, form: str) -> None:
  """Changing token t changes nothing before t, and nothing in another row.

  Of a memory that reads both ways: changing a document changes nothing in another.
  """
  y, state, _ = suite.whole[form]
  begins, last = [0, *[t for b, t in suite.borders if b == 0]], suite.length
  documents = zip(begins, [*begins[1:], last], strict=True)
  tails = ((t, last) for t in (1, 8, 12, last - 1))  # inside and at chunks' borders
  for begin, end in tails if suite.case.causal else documents:
    tokens = np.s_[0, begin:end]
    y2, state2, _ = suite(form, inputs=trees.put(suite.inputs, tokens, suite.other))
    for what, got, want in (("y", y2, y), ("state", state2, state)):
      for row in range(1, suite.batch_size):
        if not trees.equal(trees.row(got, row), trees.row(want, row)):
          message = f"its {what} changes with tokens {begin} to {end - 1} of row 0"
          suite.fail(5, form, f"row {row} sees row 0: {message}")
    suite.expect(5, form, "y", trees.put(y2, tokens, y), y, "exact")


def law_6_state_keeps_its_shape(suite: Suite, form: str) -> None:
  """The state is the same tree after any call, and zeros at the start."""
  for length in sorted(set(CUTS)):
    pieces = jax.tree.map(lambda a, n=length: a[:, :n], (suite.inputs, suite.reset))
    inputs, reset = pieces
    # traced, not run: shapes need no numbers
    _, new = suite.forward[form].eval_shape(suite.params, inputs, suite.state, reset)
    shapes = [
      jax.tree.map(lambda a: (a.shape, str(a.dtype)), tree)
      for tree in (new, suite.state)
    ]
    tree: Any = jax.tree.structure(new)
    if tree != jax.tree.structure(suite.state):
      suite.fail(6, form, f"the state becomes {tree}")
    if shapes[0] != shapes[1]:
      suite.fail(
        6, form, f"after {length} tokens the state is {shapes[0]}, it was {shapes[1]}"
      )
  empty = jax.tree.map(np.zeros_like, suite.state)
  if suite.case.init_state is not None:
    start = suite.case.init_state(suite.batch_size)
    suite.expect(6, form, "state", start, empty, "exact")


def law_6_state_keeps_its_dtype(suite: Suite, form: str) -> None:
  """A memory that reads bfloat16 has the state of one that reads float32.

  Else a loop over calls compiles anew, and sums are rounded to 8 bits.
  """
  inputs = trees.to_bfloat16(suite.inputs)
  # what a layer of one dtype makes of another is JAX's rule, not the user's setting
  with jax.numpy_dtype_promotion("standard"):
    try:
      _, new = suite.forward[form].eval_shape(
        suite.params, inputs, suite.state, suite.reset
      )
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
  no_reset = np.zeros_like(suite.reset)
  at_first = trees.put(no_reset, np.s_[:, 0], ~no_reset)  # of every row
  y, state, _ = suite(form, state=empty, reset=no_reset)
  y2, state2, _ = suite(form, reset=at_first)
  suite.expect(6, form, "y", y2, y)
  suite.expect(6, form, "state", state2, state)


def law_8_transforms_work(suite: Suite, form: str) -> None:
  """jit, vmap, grad and jax.checkpoint together give what grad under jit gives."""
  run = with_gradients(jax.checkpoint(suite.forward[form]))
  args = (suite.inputs, suite.state, suite.reset, suite.dy, suite.dstate)
  args = jax.tree.map(lambda a: np.stack([a, a]), args)
  mapped = jax.jit(jax.vmap(run, in_axes=(None, 0, 0, 0, 0, 0)))
  got = jax.device_get(mapped(suite.params, *args))
  second = jax.tree.map(lambda a: a[1], got)  # an axis that is ignored would show here
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

  # the same bfloat16 numbers in float64: what is compared is the arithmetic alone
  inputs = trees.to_bfloat16(suite.inputs)
  args = (suite.params, inputs, suite.state, suite.reset)
  got = suite.forward[form](*args)
  want = in_float64(reference, *args)
  for name, g, w in zip(("y", "state"), got, want, strict=True):
    suite.expect(9, form, name, g, w, "bfloat16")


LAWS = (
  law_6_state_keeps_its_shape,  # first: another shape would break the others
  law_6_state_keeps_its_dtype,
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
