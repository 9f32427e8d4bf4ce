"""(I + A)^{-1} of strictly lower triangular A: the solve inside every delta rule."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Square = Float[Array, "*B C C"]

# Blocks up to this size are inverted by their (nilpotent) power series. Over a whole
# chunk the series has terms that grow like binomials and cancel: with one key repeated
# through a chunk of 64 its error is 1e10, with blocks of 4 it is 1e-6.
BASE = 4


@jax.custom_jvp
def unit_lower_inverse(a: Square) -> Square:
  """The inverse of I + A by block inversion.

      [P 0; Q R]^{-1} = [P^{-1} 0; -R^{-1} Q P^{-1}  R^{-1}]

  Cost: log2(C/4) levels of batched matrix products, C^3/3 multiplies. Its derivative is
  -X dA X, a rule that works in both modes and at any order and keeps only X.

  Args:
    a: strictly lower triangular (what stands on and above the diagonal must be 0).

  Returns:
    X = (I + A)^{-1}, unit lower triangular.

  Source: Golub and Van Loan, Matrix Computations, section 3.1 (block substitution);
  Yang et al. 2024, arXiv:2406.06484, section 3.2 for its place in the delta rule.
  """
  size = a.shape[-1]
  power = BASE
  while power < size:
    power *= 2
  if power > size:  # a larger identity around it changes nothing
    widths = [(0, 0)] * (a.ndim - 2) + [(0, power - size)] * 2
    return _invert(jnp.pad(a, widths))[..., :size, :size]
  return _invert(a)


def _invert(a: Array) -> Array:
  size = a.shape[-1]
  matmul = lambda x, y: jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)
  if size <= BASE:
    square = matmul(a, a)
    return jnp.eye(size, dtype=a.dtype) - a + square - matmul(square, a)
  half = size // 2
  # both diagonal blocks at once: one batched call a level
  p, r = a[..., :half, :half], a[..., half:, half:]
  p, r = _invert(jnp.stack([p, r]))
  corner = -matmul(matmul(r, a[..., half:, :half]), p)
  top = jnp.concatenate([p, jnp.zeros_like(p)], axis=-1)
  return jnp.concatenate([top, jnp.concatenate([corner, r], axis=-1)], axis=-2)


@unit_lower_inverse.defjvp
def _derivative(primals, tangents):
  x = unit_lower_inverse(*primals)
  matmul = lambda p, q: jnp.matmul(p, q, precision=jax.lax.Precision.HIGHEST)
  return x, -matmul(matmul(x, tangents[0]), x)
