"""Layers around layers: sums, parallel branches, both directions, learned states.

A wrapper is a file that ends in `Wrapper = <Class>`, a Flax module with a mixer's
contract. A field of type `nn.Module` holds a part, one of type `tuple[nn.Module, ...]`
holds any number of parts, and every other field is an option; parts are unbound.
Besides a mixer's methods it has `sees(part_sees, reset)`, which returns which tokens
reach which, [T, T], from `part_sees(part, reset)` of its parts; see
`jaxmem.evaluation.visibility`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn

from jaxmem.core import registry
from jaxmem.core.typing import Reset

# `(layer, reset) -> [T, T]`: which tokens of a row a layer sees.
Sight = Callable[[nn.Module, Reset], np.ndarray]
# The types of fields that hold a part, or all parts.
_ONE, _ANY = nn.Module, tuple[nn.Module, ...]


def names() -> list[str]:
  """Returns the file names of the wrappers."""
  return list(registry.members("jaxmem.models.wrappers", "Wrapper"))


def get(name: str) -> type[nn.Module]:
  """Returns the class of the wrapper `name`."""
  return registry.member("jaxmem.models.wrappers", "Wrapper", name).Wrapper


def parts(name: str) -> list[str]:
  """Returns the fields of the wrapper `name` that hold a part, or all parts."""
  return [f.name for f in dataclasses.fields(get(name)) if f.type in (_ONE, _ANY)]


def check_parts(name: str, count: int) -> None:
  """Raises ValueError if the wrapper `name` takes another number of parts."""
  fields = parts(name)
  if _takes_any(name):
    if not count:
      raise ValueError(f"{name} is around nothing: name its parts, {name}(gru,lstm)")
  elif count != len(fields):
    plural = "s" * (len(fields) > 1)
    raise ValueError(
      f"{name} takes {len(fields)} part{plural} ({', '.join(fields)}), and {count} are "
      "given"
    )


def build(name: str, layers: tuple[nn.Module, ...], /, **fields: Any) -> nn.Module:
  """Makes the wrapper `name` around unbound layers.

  Args:
    name: the file name of the wrapper.
    layers: its parts; `check_parts` has checked how many.
    **fields: its options, and Flax's own fields.
  """
  values = [layers] if _takes_any(name) else layers
  return get(name)(**dict(zip(parts(name), values, strict=True)), **fields)


def _takes_any(name: str) -> bool:
  """Returns whether the wrapper `name` takes any number of parts."""
  return any(f.type == _ANY for f in dataclasses.fields(get(name)))
