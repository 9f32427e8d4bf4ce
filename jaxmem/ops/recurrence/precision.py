"""Products of narrow numbers with wide sums.

Chunk forms multiply in the dtype of the activations, such as bfloat16, and add up in
that of the state, float32: what a matrix unit does at full speed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def einsum(spec: str, a: Float[Array, "..."], b: Float[Array, "..."], dtype) -> Array:
  """Returns `jnp.einsum` of two arrays of one dtype, summed and returned in `dtype`.

  XLA on CPU has not every product of bfloat16 with a float32 sum, and finds out when it
  runs; there the operands are widened first, which gives the same numbers.

  Args:
    spec: see `jnp.einsum`.
    a: the left operand.
    b: the right operand, in the dtype of `a`.
    dtype: of the sum, as wide as the operands' or wider.
  """
  if a.dtype == dtype:  # float32 in float32: no choice to make
    return jnp.einsum(spec, a, b)

  def narrow(a, b):
    return jnp.einsum(spec, a, b, preferred_element_type=dtype)

  def wide(a, b):
    return jnp.einsum(spec, a.astype(dtype), b.astype(dtype))

  # chosen when the program is lowered, for the backend that it is lowered for
  return jax.lax.platform_dependent(a, b, cpu=wide, default=narrow)


def products(operand: jnp.dtype, dtype: jnp.dtype) -> Callable[..., Array]:
  """Returns an `einsum` that casts its operands to one dtype and sums in another.

  Args:
    operand: the dtype of both operands, that of the activations.
    dtype: of the sum, that of the state.

  Returns:
    `(spec, a, b) -> einsum`.
  """

  def product(spec, a, b):
    return einsum(spec, a.astype(operand), b.astype(operand), dtype)

  return product
