"""Pure functions on arrays: one equation a file, never Flax."""

from types import ModuleType

from jaxmem.core import registry
from jaxmem.core.op import Op, view


def names() -> list[str]:
  """The ops, by file name."""
  return list(registry.members("jaxmem.ops", "FORMS"))


def get(name: str) -> ModuleType:
  """The op `name`: a module with State, init_state, step, FORMS, example, stress."""
  return registry.member("jaxmem.ops", "FORMS", name)


def record(op: str | ModuleType | Op) -> Op:
  """All that an op says, as one record.

  Args:
    op: its name, its file, or its record.
  """
  if isinstance(op, str):
    op = get(op)
  return op if isinstance(op, Op) else view(op)
