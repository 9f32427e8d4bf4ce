"""What a block puts behind its mixer: a map of each token. One MLP a file, by name.

An MLP is a layer like any mixer, `y, state = mlp(x, state, reset)`; most have the state
`()`.
"""

import dataclasses
from types import ModuleType

from jaxmem.core import registry


def names() -> list[str]:
  """The MLPs, by file name."""
  return list(registry.members("jaxmem.layers.mlps", "MLP"))


def get(name: str) -> ModuleType:
  """The file `name`: its `MLP` is the class.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return registry.member("jaxmem.layers.mlps", "MLP", name)


def options(name: str) -> list[str]:
  """What an entry of the MLP `name` can be given; the model gives the rest."""
  fields = dataclasses.fields(get(name).MLP)
  given = ("d_model", "d_ff", "dtype", "parent", "name")
  return [f.name for f in fields if f.name not in given]
