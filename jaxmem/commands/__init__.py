"""The commands of `jaxmem`, one a file; the file name is the command's.

Each file has `main(argv) -> exit code`, and its docstring's first line is the help.
"""

import importlib.util
from collections.abc import Sequence

from jaxmem.errors import UserError


def require(*modules: str) -> None:
  """Raises UserError if a module of the `train` extra is missing."""
  for module in modules:
    if importlib.util.find_spec(module) is None:
      raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


def no_arguments(command: str, argv: Sequence[str]) -> None:
  """Raises UserError if there are any."""
  if argv:
    raise UserError(f"jaxmem {command} takes no arguments, got {' '.join(argv)}")
