"""The MLPs of blocks, behind their mixers: each file is one, found by its name.

An MLP is a layer like any mixer, `y, state = mlp(x, state, reset)`; most have the state
`()`.
"""

from types import ModuleType

from jaxmem.core import registry


def names() -> list[str]:
  """Returns the names of the MLPs, which are those of their files."""
  return list(registry.members("jaxmem.layers.mlps", "MLP"))


def get(name: str) -> ModuleType:
  """Returns the file of an MLP; its attribute `MLP` is the class.

  Args:
    name: of the file.

  Raises:
    KeyError: if there is no such file; the message names the nearest.
  """
  return registry.member("jaxmem.layers.mlps", "MLP", name)
