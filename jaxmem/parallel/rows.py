"""Random numbers of a row, wherever and beside whichever rows it is computed.

What is drawn for a row depends on the key and on the row's number in the batch of the
step, so that neither the parts of an accumulated batch, nor the processes, nor the mesh
move a number.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

_NUMBERS = contextvars.ContextVar("row numbers", default=None)


@contextlib.contextmanager
def numbered(numbers: Int[Array, " B"]) -> Iterator[None]:
  """Within it, the rows that are computed are these of the whole batch.

  Args:
    numbers: of each row; without this context rows are counted from 0.
  """
  token = _NUMBERS.set(numbers)
  try:
    yield
  finally:
    _NUMBERS.reset(token)


def draw(
  sample: Callable[[Array, tuple[int, ...]], Array], key: Array, shape: tuple[int, ...]
) -> Array:
  """`sample(key, shape)`, with a key of its own for each row.

  Args:
    sample: such as `jax.random.normal`.
    key: of what is drawn, the same for all rows.
    shape: rows first. There may be several for a row of the batch, such as its windows
      or its series, if they lie next to each other.

  Raises:
    ValueError: if the rows are no multiple of the batch's.
  """
  numbers = _NUMBERS.get()
  if numbers is None:
    numbers = jnp.arange(shape[0])
  if not shape[0]:
    return sample(key, shape)
  if shape[0] % len(numbers):
    raise ValueError(f"{shape[0]} rows of a batch of {len(numbers)} rows")
  each = (shape[0] // len(numbers), *shape[1:])
  keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)
  return jax.vmap(lambda key: sample(key, each))(keys).reshape(shape)
