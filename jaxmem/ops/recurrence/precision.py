"""Products of narrow numbers with wide sums."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def einsum(spec: str, a: Float[Array, "..."], b: Float[Array, "..."], dtype) -> Array:
  """`jnp.einsum` of two arrays of one dtype, summed and returned in `dtype`.

  XLA on CPU has not every product of bfloat16 with a float32 sum, and finds out when it
  runs; there the operands are widened first, which gives the same numbers.

  Args:
    spec: see `jnp.einsum`.
    a: left.
    b: right, in the dtype of `a`.
    dtype: of the sum, as wide as the operands' or wider.
  """
  if a.dtype == dtype:
    return jnp.einsum(spec, a, b)
  narrow = lambda a, b: jnp.einsum(spec, a, b, preferred_element_type=dtype)
  wide = lambda a, b: jnp.einsum(spec, a.astype(dtype), b.astype(dtype))
  return jax.lax.platform_dependent(a, b, cpu=wide, default=narrow)


def products(operand: jnp.dtype, dtype: jnp.dtype) -> Callable:
  """`einsum` of operands taken to one dtype, with sums in another."""
  return lambda spec, a, b: einsum(spec, a.astype(operand), b.astype(operand), dtype)
