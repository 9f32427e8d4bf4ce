"""Pure functions on arrays: one equation a file, never Flax."""

from types import ModuleType

from jaxmem.core import registry


def names() -> list[str]:
  """The ops, by file name."""
  return list(registry.members("jaxmem.ops", "FORMS"))


def get(name: str) -> ModuleType:
  """The op `name`: a module with State, init_state, step, FORMS, example, stress."""
  return registry.member("jaxmem.ops", "FORMS", name)
