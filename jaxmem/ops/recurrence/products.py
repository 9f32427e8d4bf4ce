"""Products of cells, gates side by side: one matrix or one a head, and gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence.precision import einsum


def dot(x: Float[Array, "... D"], w: Array, dtype) -> Float[Array, "... E"]:
  """x w with operands in the dtype of w and a sum in `dtype`.

  Args:
    x: rows.
    w: [D, E], or [H, D/H, E/H] with a matrix a head.
    dtype: of the sum.
  """
  x = x.astype(w.dtype)
  if w.ndim == 2:
    return einsum("...i,ij->...j", x, w, dtype)
  y = einsum("...hi,hij->...hj", heads(x, w), w, dtype)
  return y.reshape(*x.shape[:-1], y.shape[-2] * y.shape[-1])


def columns(w: Float[Array, "... E"], count: int) -> tuple[Array, ...]:
  """The gates of a wide matrix or bias, each for itself."""
  return tuple(jnp.split(w, count, axis=-1))


def affine(w: Array, b: Array, x: Array, count: int, dtype) -> tuple[Array, ...]:
  """x W + b of `count` gates side by side: what most cells project."""
  return columns(dot(x, w, dtype) + b.astype(dtype), count)


def heads(x: Array, w: Array) -> Array:
  """The features of a row by head: [..., D] -> [..., H, D/H]."""
  return x.reshape(*x.shape[:-1], w.shape[0], x.shape[-1] // w.shape[0])


def outer(v: Array, dgates: tuple, group: tuple, dtype) -> tuple[Array, ...]:
  """The gradients of a group's matrices: all tokens of a chunk in one product."""
  r = group[0]
  narrow = lambda a: a.astype(r.dtype)
  if r.ndim == 2:
    d = narrow(jnp.concatenate(dgates, axis=-1))
    return columns(einsum("tbi,tbj->ij", narrow(v), d, dtype), len(group))
  v = heads(narrow(v), r)
  ds = (heads(narrow(d), r) for d in dgates)
  return tuple(einsum("tbhi,tbhj->hij", v, d, dtype) for d in ds)


@jax.custom_vjp
def known(v, gates, stacked):
  """Pre-activations that were kept, with the derivative of z_j + v R_j."""
  return gates


def _known_forward(v, gates, stacked):
  return gates, (v, stacked)


def _known_backward(residuals, dgates):
  v, stacked = residuals
  if stacked.ndim == 3:
    dgates_by_head = [heads(d, stacked) for d in dgates]
    d = jnp.concatenate(dgates_by_head, axis=-1).reshape(*v.shape[:-1], -1)
  else:
    d = jnp.concatenate(dgates, axis=-1)
  return dot(d, stacked, v.dtype), dgates, jnp.zeros_like(stacked)


known.defvjp(_known_forward, _known_backward)
