"""Pure functions on arrays: one equation a file, never Flax."""

from types import ModuleType

from jaxmem.core import registry
from jaxmem.core.op import Op, view


def names() -> list[str]:
  """Returns the names of the ops, which are those of their files."""
  return list(registry.members("jaxmem.ops", "FORMS"))


def get(name: str) -> ModuleType:
  """Returns the file of an op: a module with State, init_state, step, FORMS, example.

  Args:
    name: of the file.

  Raises:
    KeyError: if there is none; the message names the nearest.
  """
  return registry.member("jaxmem.ops", "FORMS", name)


def record(op: str | ModuleType | Op) -> Op:
  """Returns all that an op file defines, as one record.

  Args:
    op: the op's name, its file, or its record.
  """
  if isinstance(op, str):
    op = get(op)
  return op if isinstance(op, Op) else view(op)
