"""The one table of tolerances. Never loosened silently: a change is an RFC."""

import jax.numpy as jnp
import numpy as np

# dtype of the computation -> (relative to the element, relative to the largest element)
TOLERANCE = {
  "float64": (1e-9, 1e-10),
  "float32": (2e-4, 2e-5),
  "bfloat16": (2e-2, 2e-2),
}


def worst(got, want, dtype: str, moves: float = 0.0) -> tuple[float, tuple[int, ...]]:
  """Returns the worst error as a multiple of what is allowed, and its index.

  Args:
    got: an array.
    want: the array it should equal.
    dtype: a key of `TOLERANCE`, or "exact" for equality to the last bit.
    moves: added to what is allowed, in units of `want`: see `Suite.moves`.

  Returns:
    The multiple (above 1 is too much, inf for NaN where there should be a number), and
    the index.
  """
  got, want = (
    # JAX widens bfloat16, which is no type of NumPy's own
    np.asarray(jnp.asarray(a).astype(jnp.float32))
    if a.dtype == jnp.bfloat16
    else np.asarray(a)
    for a in (got, want)
  )
  if got.shape != want.shape:
    return np.inf, ()
  if not want.size:
    return 0.0, ()
  got, want = got.astype(np.float64), want.astype(np.float64)
  # inf - inf and 0 / 0 are NaN, which is inf below: too much
  with np.errstate(invalid="ignore", divide="ignore"):
    error = np.abs(got - want)
    if dtype == "exact":
      error = np.where(error == 0, 0.0, np.inf)
    else:
      relative, absolute = TOLERANCE[dtype]
      # a sum of large terms that cancel is as inexact as the terms
      size = max(1, np.abs(want).max())
      error = error / (relative * np.abs(want) + absolute * size + moves)
  error = np.where(np.isnan(error), np.inf, error)
  at = np.unravel_index(int(error.argmax()), error.shape)
  return float(error[at]), tuple(int(i) for i in at)
