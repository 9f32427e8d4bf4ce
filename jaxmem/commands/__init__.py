"""The commands of `jaxmem`, one a file; the file name is the command's.

Each file has `main(argv) -> exit code`, and its docstring's first line is the help.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmem.core import migrations, ranges
from jaxmem.core.errors import UserError


def require(*modules: str) -> None:
  """Raises UserError if a module of the `train` extra is missing."""
  for module in modules:
    if importlib.util.find_spec(module) is None:
      raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


def check_whole(given: Any, least: Mapping[str, int]) -> None:
  """Checks whole numbers that a user gave.

  Args:
    given: has them as attributes.
    least: name -> the least that it may be; the most is what int32 holds.

  Raises:
    UserError: names the first that is out of range, and the range.
  """
  for name, low in least.items():
    try:
      ranges.check_number(getattr(given, name), name, ranges.Range(at_least=low))
    except ValueError as error:
      raise UserError(str(error)) from error


def current_flags(argv: Sequence[str]) -> list[str]:
  """The arguments with flags of former names by those of now, which it tells once."""
  new, told = [], {}
  for word in argv:
    flag, *value = word.split("=", 1)
    name = flag.replace("_", "-")
    for old, key in migrations.RENAMED.items():
      before, after = old.replace("_", "-"), key.replace("_", "-")
      if name == f"--{before}" or name.startswith(f"--{before}."):
        told[f"--{before}"] = f"--{after}"
        flag = f"--{after}{name.removeprefix(f'--{before}')}"
    new.append("=".join([flag, *value]))
  for before, after in told.items():
    print(f"jaxmem: {before} is now {after}", file=sys.stderr)
  return new


def no_arguments(command: str, argv: Sequence[str]) -> None:
  """Raises UserError if there are any."""
  if argv:
    raise UserError(f"jaxmem {command} takes no arguments, got {' '.join(argv)}")
