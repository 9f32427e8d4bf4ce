"""The command `jaxmem`: finds the command's file, and turns mistakes into messages."""

import ast
import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path

from jaxmem import commands, files
from jaxmem.errors import RunError, UserError
from jaxmem.registry import nearest


def known() -> dict[str, str]:
  """Command -> its line of help, read without importing any."""
  lines = {}
  for info in pkgutil.iter_modules(commands.__path__):
    text = files.read_text(Path(commands.__path__[0]) / f"{info.name}.py")
    lines[info.name] = ast.get_docstring(ast.parse(text)).splitlines()[0]
  return lines


def usage() -> str:
  """The help of the whole program."""
  lines = [f"  {name:<10} {line}" for name, line in known().items()]
  return "\n".join(["usage: jaxmem COMMAND ...", "", *lines])


def use_huge_pages() -> None:
  """Starts again with huge pages for large buffers, which must be set before Python is.

  XLA on CPU gives its buffers back after every call and faults every page in again;
  with huge pages elementwise work on large arrays takes a half to a fifth of the time.
  """
  if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
    return
  environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
  arguments = [sys.executable, "-m", "jaxmem.cli", *sys.argv[1:]]
  os.execve(sys.executable, arguments, environment)


def run(argv: list[str]) -> int:
  """Runs a command and returns its exit code.

  0 is success; 2 a mistake of the user's, one message and no traceback; 1 a run that
  cannot go on; 75 a run that was stopped and that the same command resumes.
  """
  if not argv or argv[0] in ("-h", "--help"):
    print(usage())
    return 0 if argv else 2
  name, *rest = argv
  try:
    if name not in known():
      raise UserError(f"no command {name!r}: {nearest(name, list(known()))}")
    return importlib.import_module(f"jaxmem.commands.{name}").main(rest)
  except UserError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 2
  except RunError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 1


def main() -> None:
  """The entry point of the command."""
  use_huge_pages()
  try:
    code = run(sys.argv[1:])
    sys.stdout.flush()
  except BrokenPipeError:  # `| head` has seen enough: as a signal would, and silently
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = 128 + signal.SIGPIPE
  sys.exit(code)


if __name__ == "__main__":
  main()
