"""Products of cells, gates side by side: one matrix or one a head, and gradients.

All products of `cell` are these, so that a cell with a matrix a head (sLSTM) and one
with a full matrix (GRU, LSTM) share one loop and one reverse pass.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops.recurrence.precision import einsum


def dot(x: Float[Array, "... D"], w: Array, dtype) -> Float[Array, "... E"]:
  """Multiplies x w, with operands in the dtype of w and a sum in `dtype`.

  Args:
    x: rows.
    w: [D, E], or [H, D/H, E/H] with a matrix a head.
    dtype: of the sum.
  """
  x = x.astype(w.dtype)  # the parameters' dtype says how exact products are to be
  if w.ndim == 2:
    return einsum("...i,ij->...j", x, w, dtype)
  y = einsum("...hi,hij->...hj", heads(x, w), w, dtype)  # [..., H, E/H]
  return y.reshape(*x.shape[:-1], y.shape[-2] * y.shape[-1])


def columns(w: Float[Array, "... E"], count: int) -> tuple[Array, ...]:
  """Cuts a matrix or bias of `count` gates side by side into those of each gate.

  Args:
    w: E is `count` times the width of a gate.
    count: of the gates.
  """
  return tuple(jnp.split(w, count, axis=-1))


def affine(w: Array, b: Array, x: Array, count: int, dtype) -> tuple[Array, ...]:
  """Returns x W + b of every gate: what most cells project.

  Args:
    w: the matrices of the gates, side by side.
    b: their biases, side by side.
    x: rows.
    count: of the gates.
    dtype: of the sum.
  """
  return columns(dot(x, w, dtype) + b.astype(dtype), count)


def heads(x: Array, w: Array) -> Array:
  """Parts the features of rows by head: [..., D] -> [..., H, D/H].

  Args:
    x: rows.
    w: [H, ...], a matrix a head.
  """
  return x.reshape(*x.shape[:-1], w.shape[0], x.shape[-1] // w.shape[0])


def outer(v: Array, dgates: tuple, group: tuple, dtype) -> tuple[Array, ...]:
  """Returns the gradients of a group's matrices, all tokens of a chunk in one product.

  Args:
    v: the vectors that the group read, [C, B, D].
    dgates: the cotangents of its pre-activations, [C, B, E] each.
    group: its matrices.
    dtype: of the sum.
  """
  r = group[0]
  if r.ndim == 2:
    d = jnp.concatenate(dgates, axis=-1).astype(r.dtype)  # [C, B, E * gates]
    return columns(einsum("tbi,tbj->ij", v.astype(r.dtype), d, dtype), len(group))
  v = heads(v.astype(r.dtype), r)  # [C, B, H, D/H]
  by_head = (heads(d.astype(r.dtype), r) for d in dgates)
  return tuple(einsum("tbhi,tbhj->hij", v, d, dtype) for d in by_head)


@jax.custom_vjp
def replayed(v: Array, gates: tuple[Array, ...], stacked: Array) -> tuple[Array, ...]:
  """Returns recorded pre-activations, with the derivative of z_j + v R_j.

  The forward pass has computed that product; only its gradients are still needed.

  Args:
    v: the vector that the group reads.
    gates: its pre-activations, as they were recorded.
    stacked: the transposes of the R_j, below each other. It gets no gradient here, as
      `cell` takes that of a whole chunk by `outer`.
  """
  return gates


def _replayed_fwd(v, gates, stacked):
  return gates, (v, stacked)


def _replayed_bwd(residuals, dgates):
  v, stacked = residuals
  if stacked.ndim == 3:  # a matrix a head: its gates must lie next to each other
    by_head = [heads(d, stacked) for d in dgates]
    d = jnp.concatenate(by_head, axis=-1).reshape(*v.shape[:-1], -1)
  else:
    d = jnp.concatenate(dgates, axis=-1)
  return dot(d, stacked, v.dtype), dgates, jnp.zeros_like(stacked)


replayed.defvjp(_replayed_fwd, _replayed_bwd)
