"""What arrays are, in a few numbers that do not depend on where they live."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.jit
def _fingerprints(tree: Any) -> Any:
  """Two odd-weighted sums of a leaf's 32-bit words, modulo 2^32.

  Integer sums are exact in any order, so the value does not depend on the mesh; a
  single changed word always changes it, since its weight is odd.
  """

  def one(x):
    if x.dtype == jnp.bool_:
      x = x.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    u = jax.lax.bitcast_convert_type(x, word).astype(jnp.uint32).reshape(-1)
    i = jax.lax.iota(jnp.uint32, u.size)
    weights = (2 * i + 1, (i * jnp.uint32(2654435761)) | 1)
    return jnp.stack([jnp.sum(u * w, dtype=jnp.uint32) for w in weights])

  return jax.tree.map(one, tree)


def fingerprints(tree: Any) -> dict[str, list[int]]:
  """Path of a leaf -> its fingerprint, the same on any mesh."""
  leaves = jax.tree_util.tree_leaves_with_path(_fingerprints(tree))
  return {jax.tree_util.keystr(k): [int(n) for n in np.asarray(v)] for k, v in leaves}


def kinds(tree: Any) -> dict[str, str]:
  """Path of a leaf -> its dtype and shape, such as "float32[2, 3]"."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  show = lambda a: f"{np.dtype(a.dtype)}{list(a.shape)}"
  return {jax.tree_util.keystr(k): show(a) for k, a in leaves}
