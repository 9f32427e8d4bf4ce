"""Whether numbers are finite: of a state on devices, and of what is reported."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def all_finite(tree: Any) -> Bool[Array, ""]:
  """Whether no number of a tree of arrays is NaN or infinite.

  Args:
    tree: arrays of any kind; integers and flags always are.

  Returns:
    One flag, True for a tree without arrays.
  """
  good = [
    jnp.isfinite(a).all()
    for a in jax.tree.leaves(tree)
    if jnp.issubdtype(a.dtype, jnp.inexact)
  ]
  return jnp.stack(good).all() if good else jnp.array(True)


def not_finite(numbers: Any, key: str = "") -> list[str]:
  """The dotted keys of the numbers that are NaN or infinite.

  Args:
    numbers: of a report, as JSON has them: dictionaries, lists and numbers.
    key: that `numbers` stands under.
  """
  if isinstance(numbers, float):
    return [] if math.isfinite(numbers) else [key]
  if isinstance(numbers, Mapping):
    items = numbers.items()
  elif isinstance(numbers, list | tuple):
    items = enumerate(numbers)
  else:
    return []
  within = lambda name: f"{key}.{name}" if key else str(name)
  return [bad for name, value in items for bad in not_finite(value, within(name))]


def plain(numbers: Any) -> Any:
  """The same numbers as JSON has them: None in the place of NaN and infinities."""
  if isinstance(numbers, float):
    return numbers if math.isfinite(numbers) else None
  if isinstance(numbers, Mapping):
    return {name: plain(value) for name, value in numbers.items()}
  if isinstance(numbers, list | tuple):
    return [plain(value) for value in numbers]
  return numbers


def said(numbers: Any) -> list[str]:
  """Lines for a report that names the numbers that are not finite; none if all are."""
  bad = not_finite(numbers)
  if not bad:
    return []
  shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if bad[5:] else "")
  return [
    "",
    f"Not finite: {shown}. The weights give no finite score for this data: train again "
    "with a lower --optim.learning-rate, or look for values out of range in the data.",
  ]
