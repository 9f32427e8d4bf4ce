"""The commands of `jaxmem`, one a file; the file name is the command's.

Each file has `main(argv) -> exit code`, and its docstring's first line is the help.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmem.core import migrations, ranges
from jaxmem.core.errors import UserError, raised_as


def require(*modules: str) -> None:
  """Raises UserError if a module of the `train` extra is missing."""
  for module in modules:
    if importlib.util.find_spec(module) is None:
      raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


def check(options: Any) -> None:
  """Checks the options of a command by what their fields declare.

  Args:
    options: a dataclass.

  Raises:
    UserError: for the first that is missing or out of range; names its flag.
  """
  with raised_as(UserError):
    ranges.check(options, "--")


def check_numbers(args: Any, **limits: ranges.Range) -> None:
  """Checks numbers that `argparse` has read.

  Args:
    args: has them as attributes.
    limits: name of an attribute -> its range.

  Raises:
    UserError: for the first that is out of range; names its flag.
  """
  for name, range_ in limits.items():
    with raised_as(UserError):
      flag = f"--{name.replace('_', '-')}"
      ranges.check_number(getattr(args, name), flag, range_)


def workdir() -> Any:
  """The field of options that names the work directory of a trained run."""
  return ranges.required("give that of a run of `jaxmem train`")


def current_flags(
  argv: Sequence[str], renamed: Mapping[str, str] = migrations.RENAMED
) -> list[str]:
  """The arguments with flags of former names by those of now, which it tells once.

  Args:
    argv: of a command.
    renamed: former key -> that of now; "" drops the flag with its value.
  """
  new, told, words = [], {}, iter(argv)
  for word in words:
    flag, *value = word.split("=", 1)
    name, dropped = flag.replace("_", "-"), False
    for old, key in renamed.items():
      before, after = old.replace("_", "-"), key.replace("_", "-")
      if name == f"--{before}" or name.startswith(f"--{before}."):
        told[f"--{before}"] = f"now --{after}" if after else "decided by the task"
        flag, dropped = f"--{after}{name.removeprefix(f'--{before}')}", not after
    if not dropped:
      new.append("=".join([flag, *value]))
    elif not value:
      next(words, None)  # the flag's value
  for before, now in told.items():
    print(f"jaxmem: {before} is {now}", file=sys.stderr)
  return new


def no_arguments(command: str, argv: Sequence[str]) -> None:
  """Raises UserError if there are any."""
  if argv:
    raise UserError(f"jaxmem {command} takes no arguments, got {' '.join(argv)}")
