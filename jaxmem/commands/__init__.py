"""The commands of `jaxmem`, one a file; the file name is the command's.

Each file has `main(argv) -> exit code`, and its docstring's first line is the help.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmem.errors import UserError, shown


def require(*modules: str) -> None:
  """Raises UserError if a module of the `train` extra is missing."""
  for module in modules:
    if importlib.util.find_spec(module) is None:
      raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


# The largest size, count or length: arrays are indexed by int32 on devices.
LARGEST = 2**31 - 1


def check_whole(given: Any, least: Mapping[str, int], most: int = LARGEST) -> None:
  """Checks whole numbers that a user gave.

  Args:
    given: has them as attributes.
    least: name -> the least that it may be.
    most: that each of them may be.

  Raises:
    UserError: names the first that is out of range, and the range.
  """
  for name, low in least.items():
    value = getattr(given, name)
    if value < low:
      raise UserError(f"{name} is {shown(value)}: it must be at least {low}")
    if value > most:
      raise UserError(f"{name} is {shown(value)}: it must be at most {most}")


def no_arguments(command: str, argv: Sequence[str]) -> None:
  """Raises UserError if there are any."""
  if argv:
    raise UserError(f"jaxmem {command} takes no arguments, got {' '.join(argv)}")
