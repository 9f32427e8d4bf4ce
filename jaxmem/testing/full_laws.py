"""The laws of the full run: whole chunks, forward mode, second derivatives, length."""

import jax
import jax.numpy as jnp

from jaxmem.testing.suite import Suite
from jaxmem.testing.trees import floats


def law_3_in_full(suite: Suite, form: str) -> None:
  """f(x) equals f(x2, f(x1)), in pieces of whole chunks: 16 and 8 tokens."""
  if not suite.case.causal:
    return
  y, state, _ = suite.whole[form]
  now, begin = suite.state, 0
  for length in (16, 8):
    got, now = suite.piece(form, begin, length, now, suite.reset)
    suite.expect(3, form, "y", got, y[:, begin : begin + length], since=begin)
    begin += length
  suite.expect(3, form, "state", now, state)


def law_8_in_full(suite: Suite, form: str) -> None:
  """jvp equals a difference quotient's limit, the vjp; grad of grad is finite."""
  if form in suite.case.reverse_only:
    return
  constants = (suite.params, suite.state, suite.reset)
  params, state, reset = jax.tree.map(jnp.asarray, constants)
  run = suite.forward[form]

  def loss(inputs):
    y, _ = run(params, inputs, state, reset)
    return jnp.vdot(y, suite.dy)

  def squared_norm(inputs):
    """|grad|^2 of the loss."""
    return sum((a * a).sum() for a in floats(jax.grad(loss)(inputs)))

  if not floats(suite.inputs):  # token ids have no tangents
    return
  # along (1, 1, ...): then jvp is the sum of the gradient
  ones = jax.tree.map(jnp.ones_like, suite.inputs)
  _, forward = jax.jit(lambda i: jax.jvp(loss, (i,), (ones,)))(suite.inputs)
  grad = jax.jit(jax.grad(loss))(suite.inputs)
  suite.expect(8, form, "jvp", forward, sum(a.sum() for a in floats(grad)))
  second = jax.jit(jax.grad(squared_norm))(suite.inputs)
  # the directional derivative of |grad|^2, once by reverse and once by forward mode
  _, want = jax.jit(lambda i: jax.jvp(squared_norm, (i,), (ones,)))(suite.inputs)
  suite.expect(8, form, "grad of grad", sum(a.sum() for a in floats(second)), want)


def law_9_in_full(suite: Suite, form: str) -> None:
  """131,072 steps of the recurrent form stay finite, in documents of legal length."""
  if form != "recurrent" or suite.case.stress is None:
    return
  # new numbers: those of the suite have the length of all other laws
  params, inputs, state = suite.case.example(suite.key, 2, 131_072)
  reset = None
  if suite.case.longest:
    reset = jnp.arange(131_072) % suite.case.longest == 0
    reset = jnp.broadcast_to(reset, (2, 131_072))
  y, state = suite.forward[form](params, inputs, state, reset)
  for name, tree in (("y", y), ("state", state)):
    for a in jax.tree.leaves(tree):
      if not bool(jnp.isfinite(a.astype(jnp.float32)).all()):
        suite.fail(9, form, f"{name} is not finite after 131,072 steps")


FULL = (law_3_in_full, law_8_in_full, law_9_in_full)
