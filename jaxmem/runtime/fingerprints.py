"""Fingerprints of arrays: a few numbers that do not depend on devices or shardings."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def _fingerprints(tree: Any) -> Any:
  """Returns two odd-weighted sums of every leaf's 32-bit words, modulo 2^32.

  Integer sums are exact in any order, so they do not depend on the mesh. A single
  changed word always changes them: an odd weight has an inverse modulo 2^32.
  """

  def of_leaf(x):
    if x.dtype == jnp.bool_:  # bitcast_convert_type takes no bool
      x = x.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    u = jax.lax.bitcast_convert_type(x, word).astype(jnp.uint32).reshape(-1)  # [N]
    i = jax.lax.iota(jnp.uint32, u.size)
    # Two kinds of weights, one rising evenly and one by Knuth's multiplicative hash:
    # changes of several words that cancel in one sum hardly ever do in the other.
    weights = (2 * i + 1, (i * jnp.uint32(2654435761)) | 1)
    return jnp.stack([jnp.sum(u * w, dtype=jnp.uint32) for w in weights])  # [2]

  return jax.tree.map(of_leaf, tree)


def fingerprints(tree: Any) -> dict[str, list[int]]:
  """Returns the fingerprint of every leaf by its path, the same on any mesh."""
  leaves = jax.tree_util.tree_leaves_with_path(_fingerprints(tree))
  return {jax.tree_util.keystr(k): [int(n) for n in np.asarray(v)] for k, v in leaves}


def kinds(tree: Any) -> dict[str, str]:
  """Returns dtype and shape of every leaf by its path, such as "float32[2, 3]"."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(k): f"{np.dtype(a.dtype)}{list(a.shape)}" for k, a in leaves
  }
