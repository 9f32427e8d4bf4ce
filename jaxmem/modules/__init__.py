"""Flax mixers: projections around one op. One mixer a file."""

from types import ModuleType

from jaxmem import ops, registry


def names() -> list[str]:
  """The mixers, by file name."""
  return list(registry.members("jaxmem.modules", "Mixer"))


def get(name: str) -> ModuleType:
  """The file `name`: its `Mixer` is the class."""
  return registry.member("jaxmem.modules", "Mixer", name)


def op(name: str) -> ModuleType:
  """The op of the mixer `name`: its file's `OP`, else the op of the same name."""
  return getattr(get(name), "OP", None) or ops.get(name)
