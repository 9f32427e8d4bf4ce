"""The commands of `jaxmem`: each is one file, and the file's name is the command.

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
  for module in modules:  # found, not imported: that would take seconds
    if importlib.util.find_spec(module) is None:
      raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


def check(options: Any) -> None:
  """Checks the options of a command by what their fields declare.

  Args:
    options: an instance of a dataclass.

  Raises:
    UserError: if an option is missing or out of range; the message names its flag.
  """
  with raised_as(UserError):  # `ranges` raises ValueError: it serves configs, too
    ranges.check(options, "--")


def check_numbers(args: Any, **limits: ranges.Range) -> None:
  """Checks numbers that `argparse` has read.

  Args:
    args: the namespace that has them as attributes.
    limits: maps the name of an attribute to its range.

  Raises:
    UserError: if a number is out of range; the message names its flag.
  """
  for name, range_ in limits.items():
    with raised_as(UserError):
      flag = f"--{name.replace('_', '-')}"
      ranges.check_number(getattr(args, name), flag, range_)


def workdir() -> Any:
  """Returns the required option that names the work directory of a trained run."""
  return ranges.required("give that of a run of `jaxmem train`")


def current_flags(
  argv: Sequence[str], renamed: Mapping[str, str] = migrations.RENAMED
) -> list[str]:
  """Returns the arguments with the former names of flags replaced by the present ones.

  Each replaced flag is reported once, on standard error.

  Args:
    argv: the arguments of a command.
    renamed: maps a former key to the present one; "" drops the flag with its value.
  """
  new, notes, words = [], {}, iter(argv)
  for word in words:
    flag, *value = word.split("=", 1)
    name, dropped = flag.replace("_", "-"), False
    # --data.x=1 and --data matches "data"; --data-x does not
    for old, key in renamed.items():
      before, after = old.replace("_", "-"), key.replace("_", "-")
      if name == f"--{before}" or name.startswith(f"--{before}."):
        notes[f"--{before}"] = f"now --{after}" if after else "decided by the task"
        flag, dropped = f"--{after}{name.removeprefix(f'--{before}')}", not after
    if not dropped:
      new.append("=".join([flag, *value]))
    elif not value:
      next(words, None)  # `--flag VALUE` is two words: the value goes with its flag
  for before, now in notes.items():
    print(f"jaxmem: {before} is {now}", file=sys.stderr)
  return new


def no_arguments(command: str, argv: Sequence[str]) -> None:
  """Raises UserError if a command that takes no arguments was given some."""
  if argv:
    raise UserError(f"jaxmem {command} takes no arguments, got {' '.join(argv)}")
