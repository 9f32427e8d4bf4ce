"""(I + A)^{-1} of strictly lower triangular A: the solve inside every delta rule."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Square = Float[Array, "*B C C"]

# Blocks of this size are inverted row by row, larger ones from their halves. No power
# series anywhere: over a chunk of 64 with one key repeated its terms grow like
# binomials and cancel, and the error is 1e10 where this one's is 1e-6.
BASE = 16


@jax.custom_jvp
def unit_lower_inverse(a: Square) -> Square:
  """Returns the inverse of I + A: substitution in small blocks, then block inversion.

      [P 0; Q R]^{-1} = [P^{-1} 0; -R^{-1} Q P^{-1}  R^{-1}]

  Cost: BASE elementwise rows for all blocks at once, then log2(C/BASE) levels of
  batched matrix products; C^3/3 multiplies. The derivative is -X dA X, a rule that
  works in both modes and at any order, and keeps only X.

  Args:
    a: strictly lower triangular (what stands on and above the diagonal must be 0).

  Returns:
    X = (I + A)^{-1}, unit lower triangular.

  Source: Golub and Van Loan, Matrix Computations, section 3.1 (block substitution);
  Yang et al. 2024, arXiv:2406.06484, section 3.2 for its place in the delta rule.
  """
  size = a.shape[-1]
  power = min(BASE, size)
  while power < size:
    power *= 2
  if power > size:  # a larger identity around it changes nothing
    widths = [(0, 0)] * (a.ndim - 2) + [(0, power - size)] * 2
    a = jnp.pad(a, widths)
  # The ladder, for C = 64: inverses of 4 blocks of 16, of 2 of 32, of 1 of 64.
  #
  #   X                  X                  X
  #   . X        ->      X X        ->      X X
  #   . . X              . . X              X X X
  #   . . . X            . . X X            X X X X
  #
  # A rung fills the squares below the diagonal from the inverses above and right of
  # them; all squares of a rung are one batched product.
  x = _substitute(_diagonal_blocks(a, min(BASE, power)))  # [..., C / 16, 16, 16]
  while x.shape[-1] < power:
    x = _join(x, _diagonal_blocks(a, 2 * x.shape[-1]))
  return x[..., 0, :size, :size]


def _diagonal_blocks(a: Array, size: int) -> Array:
  """[..., C, C] -> [..., C / size, size, size]."""
  count = a.shape[-1] // size
  a = a.reshape(*a.shape[:-2], count, size, count, size)
  return jnp.moveaxis(jnp.diagonal(a, axis1=-4, axis2=-2), -1, -3)


def _substitute(a: Array) -> Array:
  """Row i of the inverse is e_i minus the rows above, weighed by row i of A."""
  eye = jnp.eye(a.shape[-1], dtype=a.dtype)
  rows = [jnp.broadcast_to(eye[0], a.shape[:-1])]
  for i in range(1, a.shape[-1]):  # 15 steps for all blocks, rows and heads at once
    above = jnp.stack(rows, axis=-2)  # [..., i, 16]
    rows.append(eye[i] - (a[..., i, :i, None] * above).sum(-2))
  return jnp.stack(rows, axis=-2)


def _join(x: Array, a: Array) -> Array:
  """Inverses of blocks of twice the size, from those of their halves."""
  half = x.shape[-1]
  x = x.reshape(*x.shape[:-3], -1, 2, half, half)  # neighbours in pairs
  p, r = x[..., 0, :, :], x[..., 1, :, :]  # P^{-1} and R^{-1}
  corner = -_matmul(_matmul(r, a[..., half:, :half]), p)
  top = jnp.concatenate([p, jnp.zeros_like(p)], axis=-1)
  return jnp.concatenate([top, jnp.concatenate([corner, r], axis=-1)], axis=-2)


def _matmul(x: Array, y: Array) -> Array:
  # a TPU would take float32 to bfloat16 first: errors add up over the rungs
  return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


@unit_lower_inverse.defjvp
def _unit_lower_inverse_jvp(primals, tangents):
  (a,), (da,) = primals, tangents
  x = unit_lower_inverse(a)
  # a JVP, not a VJP: the rule is linear in da, so JAX transposes it for reverse mode
  return x, -_matmul(_matmul(x, da), x)
