"""What the laws do to trees of arrays: one row, other numbers, another dtype.

The arrays are NumPy's: in JAX every new slice would be a compilation.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_float(a: Any) -> bool:
  """Returns whether an array can be differentiated.

  Args:
    a: an array, or the shape of one.
  """
  return jnp.issubdtype(a.dtype, jnp.floating)


def floats(tree: Any) -> list:
  """Returns the leaves of a tree that can be differentiated."""
  return [a for a in jax.tree.leaves(tree) if is_float(a)]


def row(tree: Any, index: int) -> Any:
  """Returns one row of every array, [1, ...]."""
  return jax.tree.map(lambda a: np.asarray(a)[index : index + 1], tree)


def equal(a: Any, b: Any) -> bool:
  """Returns whether two trees hold the same numbers, to the last bit."""

  def same(a, b):
    # an infinite or NaN output is the business of other laws; integers have no NaN
    return np.array_equal(a, b, equal_nan=is_float(a))

  return all(jax.tree.leaves(jax.tree.map(same, a, b)))


def put(tree: Any, at: Any, source: Any) -> Any:
  """Returns a tree with the numbers of another one at an index of every array.

  Args:
    tree: arrays.
    at: what stands in brackets, such as `np.s_[0, 3:]`.
    source: arrays of the same shapes.
  """

  def put_one(a, b):
    a = a.copy()  # the suite's arrays serve all laws
    a[at] = b[at]
    return a

  return jax.tree.map(put_one, tree, source)


def masked(tree: Any, mask: np.ndarray) -> Any:
  """Returns a tree [B, T, ...] with zeros where the mask [B, T] is False."""

  def mask_one(a):  # times 0, not `where`: a NaN outside of the mask stays visible
    return a * mask.reshape(mask.shape + (1,) * (a.ndim - 2)).astype(a.dtype)

  return jax.tree.map(mask_one, tree)


def rolled(tree: Any, by: int) -> Any:
  """Returns a tree [B, T, ...] with all tokens moved `by` places, round the end."""
  return jax.tree.map(lambda a: np.roll(a, by, axis=1), tree)


def to_bfloat16(tree: Any) -> Any:
  """Returns a tree with its floats in bfloat16."""
  return jax.tree.map(lambda a: a.astype(jnp.bfloat16) if is_float(a) else a, tree)
