"""Whether numbers are finite: of a state on devices, and of what is reported."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def all_finite(tree: Any) -> Bool[Array, ""]:
  """Returns whether no number of a tree of arrays is NaN or infinite.

  Args:
    tree: arrays of any kind; integers and flags are always finite.

  Returns:
    One flag on the devices of the arrays, True for a tree without arrays.
  """
  flags = [
    jnp.isfinite(a).all()
    for a in jax.tree.leaves(tree)
    if jnp.issubdtype(a.dtype, jnp.inexact)
  ]
  # one flag, so that a step of training waits for one number of the device
  return jnp.stack(flags).all() if flags else jnp.array(True)


def not_finite(numbers: Any, key: str = "") -> list[str]:
  """Returns the dotted keys of the numbers that are NaN or infinite.

  Args:
    numbers: of a report, as JSON has them: dictionaries, lists and numbers.
    key: under which `numbers` stands in the report.
  """
  if isinstance(numbers, float):
    return [] if math.isfinite(numbers) else [key]
  if isinstance(numbers, Mapping):
    items = numbers.items()
  elif isinstance(numbers, list | tuple):
    items = enumerate(numbers)
  else:  # an integer, a word or a flag is always finite
    return []
  keys = []
  for name, value in items:
    keys += not_finite(value, f"{key}.{name}" if key else str(name))
  return keys


def plain(numbers: Any) -> Any:
  """Returns the numbers with None for NaN and infinities, which JSON does not have.

  Args:
    numbers: of a report: dictionaries, lists and numbers.
  """
  if isinstance(numbers, float):
    return numbers if math.isfinite(numbers) else None
  if isinstance(numbers, Mapping):
    return {name: plain(value) for name, value in numbers.items()}
  if isinstance(numbers, list | tuple):
    return [plain(value) for value in numbers]
  return numbers


def report_lines(numbers: Any) -> list[str]:
  """Returns lines of a report that name the numbers that are not finite.

  Args:
    numbers: of the report: dictionaries, lists and numbers.

  Returns:
    No line if all are finite.
  """
  keys = not_finite(numbers)
  if not keys:
    return []
  names = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if keys[5:] else "")
  return [
    "",  # a blank line before it
    f"Not finite: {names}. The weights give no finite score for this data: train again "
    "with a lower --optim.learning-rate, or look for values out of range in the data.",
  ]


said = report_lines  # its name before 0.2
