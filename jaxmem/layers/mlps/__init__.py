"""What a block puts behind its mixer: a map of each token. One MLP a file, by name.

An MLP is a layer like any mixer, `y, state = mlp(x, state, reset)`; most have the state
`()`.
"""

from types import ModuleType

from jaxmem.core import registry


def names() -> list[str]:
  """The MLPs, by file name."""
  return list(registry.members("jaxmem.layers.mlps", "MLP"))


def get(name: str) -> ModuleType:
  """The file `name`: its `MLP` is the class.

  Args:
    name: of an MLP.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return registry.member("jaxmem.layers.mlps", "MLP", name)
