"""Feature maps: phi(q) . phi(k) stands in for the softmax's exp(q . k).

`FEATURES` has them by the name that a mixer's option `features` takes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Keys = Float[Array, "*B K"]


def elu(x: Keys) -> Keys:
  """Returns elu(x) + 1, which is positive.

  Source: Katharopoulos et al. 2020, arXiv:2006.16236, eq. 7.
  """
  return jax.nn.elu(x) + 1


def taylor(x: Keys) -> Float[Array, "*B F"]:
  """Returns the Taylor features, which give exp to second order.

      phi(q) . phi(k) = 1 + s + s^2 / 2,    s = q . k / K^0.5

  There are F = 1 + K + K (K + 1) / 2 features, as x_i x_j and x_j x_i are one of them.

  Args:
    x: queries or keys.

  Source: Arora et al. 2024, arXiv:2402.18668, section 4.1.
  """
  size = x.shape[-1]
  x = x * size**-0.25  # on both sides: K^-0.5 of the product
  rows, columns = np.triu_indices(size)
  # (q . k)^2 / 2 holds a square once and a mixed product twice
  weight = np.where(rows == columns, 0.5**0.5, 1.0)  # [K (K + 1) / 2]
  second = x[..., rows] * x[..., columns] * jnp.asarray(weight, x.dtype)
  return jnp.concatenate([jnp.ones_like(x[..., :1]), x, second], axis=-1)


FEATURES: dict[str, Callable] = {
  "elu": elu,
  "relu": jax.nn.relu,
  "identity": lambda x: x,
  "taylor": taylor,
}


def count(name: str, key_dim: int) -> int:
  """Returns how many features a map makes of K numbers.

  Args:
    name: a key of `FEATURES`.
    key_dim: K.
  """
  return 1 + key_dim * (key_dim + 3) // 2 if name == "taylor" else key_dim
