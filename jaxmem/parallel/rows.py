"""Random numbers by row, which do not depend on the device or on other rows.

What is drawn for a row depends on the key and on the row's number in the batch of the
step, so that neither the parts of an accumulated batch, nor the processes, nor the mesh
change a number.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

# A context and not an argument: the trainer knows the numbers of its rows, and the
# whole model stands between it and a layer that draws.
_NUMBERS = contextvars.ContextVar("row numbers", default=None)


@contextlib.contextmanager
def numbered(numbers: Int[Array, " B"]) -> Iterator[None]:
  """Sets the row numbers that `draw` reads inside the context.

  Args:
    numbers: the number of each row in the whole batch; without this context rows are
      counted from 0.
  """
  token = _NUMBERS.set(numbers)
  try:
    yield
  finally:
    _NUMBERS.reset(token)


def draw(
  sample: Callable[[Array, tuple[int, ...]], Array], key: Array, shape: tuple[int, ...]
) -> Array:
  """Returns `sample(key, shape)`, with a key of its own for each row.

  Args:
    sample: draws numbers, such as `jax.random.normal`.
    key: the same for all rows.
    shape: the shape of the result, rows first. A row of the batch may stand for several
      rows here, such as its windows or its series, if they are neighbours.

  Raises:
    ValueError: if the number of rows is no multiple of the batch's.
  """
  numbers = _NUMBERS.get()
  if numbers is None:
    numbers = jnp.arange(shape[0])
  if not shape[0]:
    return sample(key, shape)
  if shape[0] % len(numbers):
    raise ValueError(
      f"{shape[0]} rows are drawn for a batch of {len(numbers)}, which must divide them"
    )
  row_shape = (shape[0] // len(numbers), *shape[1:])
  # fold_in, not split: a row keeps its key whichever rows are computed beside it
  keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)  # [B]
  return jax.vmap(lambda key: sample(key, row_shape))(keys).reshape(shape)
