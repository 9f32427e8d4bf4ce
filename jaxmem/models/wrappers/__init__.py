"""Layers around layers: sums, parallel branches, both directions, learned states.

A wrapper is a file with the name `Wrapper`, a Flax module with a mixer's contract. Of
its fields, one of type `nn.Module` is a part, one of type `tuple[nn.Module, ...]` any
number of parts, and every other an option; parts are given unbound. Besides what a
mixer has it says `sees(part_sees, reset)`: which tokens reach which, [T, T], made from
what `part_sees(part, reset)` says of its parts, see `jaxmem.evaluation.visibility`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn

from jaxmem.core import registry
from jaxmem.core.typing import Reset

# What a layer sees, [T, T], of one row's documents.
Sight = Callable[[nn.Module, Reset], np.ndarray]
# The types of fields that hold a part, or all parts.
_ONE, _ANY = nn.Module, tuple[nn.Module, ...]


def names() -> list[str]:
  """The wrappers, by file name."""
  return list(registry.members("jaxmem.models.wrappers", "Wrapper"))


def get(name: str) -> type[nn.Module]:
  """The class of the wrapper `name`."""
  return registry.member("jaxmem.models.wrappers", "Wrapper", name).Wrapper


def parts(name: str) -> list[str]:
  """The fields of the wrapper `name` that hold a part, or all of them."""
  return [f.name for f in dataclasses.fields(get(name)) if f.type in (_ONE, _ANY)]


def check_parts(name: str, count: int) -> None:
  """Raises ValueError if the wrapper `name` takes another number of parts."""
  own = parts(name)
  if _takes_any(name):
    if not count:
      raise ValueError(f"{name} is around nothing: name its parts, {name}(gru,lstm)")
  elif count != len(own):
    raise ValueError(
      f"{name} takes {len(own)} part{'s' * (len(own) > 1)} ({', '.join(own)}), and "
      f"{count} are given"
    )


def build(name: str, layers: tuple[nn.Module, ...], /, **fields: Any) -> nn.Module:
  """The wrapper `name` around unbound layers.

  Args:
    name: of a wrapper.
    layers: its parts, as many as `check_parts` lets pass.
    fields: its options, and Flax's own fields.
  """
  values = [layers] if _takes_any(name) else layers
  return get(name)(**dict(zip(parts(name), values, strict=True)), **fields)


def _takes_any(name: str) -> bool:
  return any(f.type == _ANY for f in dataclasses.fields(get(name)))
