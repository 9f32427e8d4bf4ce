"""h_t = a_t h_{t-1} + b_t, element by element: what all diagonal memories share.

A document's first token has a_t = 0, which forgets exactly, in values and gradients.
Real or complex: the reverse passes below are products without a conjugate, as JAX has
them for complex numbers.

Source: Blelloch 1990, CMU-CS-90-190, section 1.4 (first-order recurrences as scans);
Martin and Cundy 2018, arXiv:1709.04057, section 2.2 (the reverse pass as a scan).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact

from jaxmem.core.typing import Form, Reset

Sequence = Inexact[Array, "B T *D"]
Row = Inexact[Array, "B *D"]


def decay_or_forget(a: Sequence, reset: Reset | None) -> Sequence:
  """Returns the decay with exact zeros where a document begins.

  Args:
    a: decay.
    reset: True on the first token of a document; None where none begins.
  """
  return a if reset is None else jnp.where(reset[..., None], jnp.zeros((), a.dtype), a)


def associative(a: Sequence, b: Sequence, h0: Row) -> tuple[Sequence, Row]:
  """Computes all h_t by an associative scan over time.

  Cost: about 3 times the work of `sequential` and log2 T depth; wins on TPU and GPU for
  short T, loses on CPU (1.8 to 4 times slower than a loop).

  Args:
    a: decay.
    b: what is added.
    h0: the state before the first token.

  Returns:
    h for every token, and the last of them.
  """
  b = b.at[:, 0].add(a[:, 0] * h0)  # then every prefix starts from an empty memory

  def combine(left, right):
    """h -> a1 h + b1, then h -> a2 h + b2, as one such map."""
    (a1, b1), (a2, b2) = left, right
    return a1 * a2, a2 * b1 + b2

  _, h = jax.lax.associative_scan(combine, (a, b), axis=1)  # [B, T, D]
  return h, h[:, -1]


@jax.custom_vjp
def sequential(a: Sequence, b: Sequence, h0: Row) -> tuple[Sequence, Row]:
  """Computes all h_t by a loop over arrays [B, T, D], with a reverse pass of its own.

      dh_t = dy_t + a_{t+1} dh_{t+1},    da_t = dh_t h_{t-1},    db_t = dh_t

  Cost: T steps of one multiply-add an element and no array beside h; the reverse pass
  is the same loop backwards and keeps only a and h. Equal to `associative`; refuses
  forward mode.

  Args:
    a: decay.
    b: what is added.
    h0: the state before the first token.

  Returns:
    h for every token, and the last of them.
  """

  # `fori_loop` over slices, not `scan`, which would first copy a and b to time-major
  def body(t, carry):
    h, out = carry  # [B, D], [B, T, D]
    h = _at(a, t) * h + _at(b, t)
    return h, _put(out, h, t)

  last, h = jax.lax.fori_loop(0, a.shape[1], body, (h0, jnp.zeros_like(b)))
  return h, last


# A function with a reverse pass of its own, so that second derivatives are loops, too:
# `sequential` and `_reverse` are each other's transposes.
@jax.custom_vjp
def _reverse(a: Sequence, dy: Sequence, dlast: Row) -> tuple[Sequence, Row]:
  """All dh_t of `sequential`, and the cotangent of h0."""
  length = a.shape[1]

  def body(n, carry):
    dnext, out = carry  # a_{t+1} dh_{t+1}
    t = length - 1 - n
    dh = _at(dy, t) + dnext
    return _at(a, t) * dh, _put(out, dh, t)

  # the state's cotangent enters after the last token, where nothing decays
  dh0, dh = jax.lax.fori_loop(0, length, body, (dlast, jnp.zeros_like(dy)))
  return dh, dh0


def _at(x: Sequence, t: Array) -> Row:
  return jax.lax.dynamic_index_in_dim(x, t, 1, keepdims=False)


def _put(x: Sequence, row: Row, t: Array) -> Sequence:
  return jax.lax.dynamic_update_index_in_dim(x, row, t, 1)


def _shifted(x: Sequence, first: Row) -> Sequence:
  """x of the token before each token, `first` before the first one."""
  return jnp.concatenate([first[:, None], x[:, :-1]], axis=1)


def _sequential_fwd(a, b, h0):
  h, last = sequential(a, b, h0)
  return (h, last), (a, h, h0)


def _sequential_bwd(residuals, cotangents):
  (a, h, h0), (dy, dlast) = residuals, cotangents
  dh, dh0 = _reverse(a, dy, dlast)
  return dh * _shifted(h, h0), dh, dh0


def _reverse_fwd(a, dy, dlast):
  dh, dh0 = _reverse(a, dy, dlast)
  return (dh, dh0), (a, dh)


def _reverse_bwd(residuals, cotangents):
  (a, dh), (u, u0) = residuals, cotangents
  h, last = sequential(a, u, u0)
  return dh * _shifted(h, u0), h, last


sequential.defvjp(_sequential_fwd, _sequential_bwd)
_reverse.defvjp(_reverse_fwd, _reverse_bwd)


@jax.custom_vjp
def constant(
  a: Inexact[Array, " D"],
  reset: Bool[Array, "T B"] | None,
  b: Inexact[Array, "T B D"],
  h0: Row,
) -> Inexact[Array, "T B D"]:
  """Computes all h_t by a loop, where one decay serves every token; time comes first.

      dh_t = dy_t + a dh_{t+1},    da = sum_t dh_t h_{t-1},    db_t = dh_t

  Cost: that of `sequential` less a decay to read, and its gradient to write, for every
  token: half the time.

  Args:
    a: decay, one a channel.
    reset: True on the first token of a document.
    b: what is added.
    h0: the state before the first token.

  Returns:
    h for every token.
  """
  return _constant_fwd(a, reset, b, h0)[0]


def _forget(h: Row, reset: Array | None) -> Row:
  """h where the document continues, else 0."""
  return h if reset is None else jnp.where(reset[:, None], jnp.zeros((), h.dtype), h)


def _constant_fwd(a, reset, b, h0):
  def body(h, xs):
    reset, b = xs
    # forgetting masks h, not a: a [D] decay stays out of the loop's inputs
    h = a * _forget(h, reset) + b
    return h, h

  _, h = jax.lax.scan(body, h0, (reset, b))  # [T, B, D]
  return h, (a, reset, h, h0)


def _constant_bwd(residuals, dy):
  a, reset, h, h0 = residuals

  def body(carry, xs):
    dh_next, da = carry  # of the token after, masked where a document begins there
    reset, h, dy = xs
    dh = dy + a * dh_next
    # da is summed by row in the carry: [T, B, D] of products would have to be written
    return (_forget(dh, reset), da + h * dh_next), dh

  start = (jnp.zeros_like(h0), jnp.zeros_like(h0))
  (dh_next, da), db = jax.lax.scan(body, start, (reset, h, dy), reverse=True)
  return (da + h0 * dh_next).sum(0), None, db, a * dh_next


constant.defvjp(_constant_fwd, _constant_bwd)

SCANS = {"parallel": associative, "sequential": sequential}


def form(decay_and_input: Callable, scan: str) -> Form:
  """Makes a form of a diagonal op.

  Args:
    decay_and_input: `f(params, inputs) -> (a, b)`, elementwise over time, in the
      state's dtype; `step` must use the same function.
    scan: a key of `SCANS`.

  Returns:
    A form whose state is a NamedTuple with the one field `h`, and whose output is h in
    the dtype of the first input.
  """

  def over_time(params, inputs, state, reset: Reset | None = None):
    a, b = decay_and_input(params, inputs)  # [B, T, D] each
    h, last = SCANS[scan](decay_or_forget(a, reset), b, state.h.astype(b.dtype))
    return h.astype(inputs[0].dtype), type(state)(last)

  return over_time
