"""Rotary position embedding, as rotations by a distance.

Source: Su et al. 2021, arXiv:2104.09864, eq. 34, with the two halves of a head as the
real and imaginary parts (the layout of GPT-NeoX and Llama).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Angles = tuple[Float[Array, "..."], Float[Array, "..."]]


def angles(distance: Int[Array, "..."], key_dim: int, base: float, dtype) -> Angles:
  """cos and sin of distance * base^(-2i/K): two arrays [..., K/2].

  Keep distances below a million in float32: the error of the angle is 6e-8 of it.
  """
  i = jnp.arange(0, key_dim, 2, dtype=dtype)
  angle = distance[..., None].astype(dtype) * base ** (-i / key_dim)
  return jnp.cos(angle), jnp.sin(angle)


def rotate(x: Float[Array, "... K"], by: Angles) -> Float[Array, "... K"]:
  """`x` rotated by the angles; rotate(q, i) . rotate(k, j) depends on i - j alone."""
  cos, sin = by
  x1, x2 = jnp.split(x.astype(cos.dtype), 2, axis=-1)
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1).astype(x.dtype)


def back(by: Angles) -> Angles:
  """The opposite rotation."""
  return by[0], -by[1]
