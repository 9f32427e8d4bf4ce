"""The command `jaxmem`: finds the command's file, and turns mistakes into messages."""

import ast
import importlib
import locale
import os
import pkgutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from jaxmem import commands
from jaxmem.core import files, kinds
from jaxmem.core.errors import RunError, UserError, reason
from jaxmem.core.kinds import FLAG
from jaxmem.core.registry import nearest

# Set in the environment, it shows an unforeseen error as Python does.
TRACEBACK = "JAXMEM_TRACEBACK"


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
  plugins = f"  {FLAG} MODULE (of any command) adds mixers, models or tasks of your own"
  return "\n".join(["usage: jaxmem COMMAND ...", "", *lines, "", plugins])


def load_plugins(argv: list[str]) -> list[str]:
  """Imports what `--plugins MODULE` names, and returns the other arguments.

  A module is looked for in the working directory, too.

  Raises:
    UserError: if a name is missing, or what it names is no plugin.
  """
  rest, names, words = [], [], iter(argv)
  for word in words:
    if word == FLAG:
      names.append(next(words, ""))
    elif word.startswith(f"{FLAG}="):
      names.append(word.removeprefix(f"{FLAG}="))
    else:
      rest.append(word)
  if names and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())
  for name in names:
    kinds.load(name)
  return rest


def start_again() -> None:
  """Starts Python again with what must be set before it is, where that is missing.

  Huge pages for large buffers: XLA on CPU gives its buffers back after every call and
  faults every page in again; with huge pages elementwise work on large arrays takes a
  half to a fifth of the time. UTF-8 for arguments, paths and streams, and those of
  child processes, where the locale has another encoding.
  """
  if sys.platform != "linux":
    return
  wanted = {}
  if "GLIBC_TUNABLES" not in os.environ:
    wanted["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
  encoding = locale.getencoding().lower().replace("-", "")
  if not sys.flags.utf8_mode and encoding != "utf8":
    wanted["PYTHONUTF8"] = "1"
  if wanted:
    arguments = [sys.executable, "-m", "jaxmem.cli", *sys.argv[1:]]
    os.execve(sys.executable, arguments, os.environ | wanted)


def use_utf8() -> None:
  """Makes the standard streams UTF-8; what cannot be written so is shown escaped."""
  for stream in (sys.stdin, sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      errors = "surrogateescape" if stream is sys.stdin else "backslashreplace"
      stream.reconfigure(encoding="utf-8", errors=errors)


def run(argv: list[str]) -> int:
  """Runs a command and returns its exit code.

  0 is success; 2 a mistake of the user's, one message and no traceback; 1 a run that
  cannot continue; 75 a run that was stopped and that the same command resumes.
  """
  try:
    argv = load_plugins(argv)
    if not argv or argv[0] in ("-h", "--help"):
      print(usage())
      return 0 if argv else 2
    name, *rest = argv
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
  start_again()
  use_utf8()
  try:
    code = run(sys.argv[1:])
    sys.stdout.flush()
  except BrokenPipeError:  # `| head` has seen enough: as a signal would, and silently
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = 128 + signal.SIGPIPE
  except KeyboardInterrupt:
    print("jaxmem: interrupted", file=sys.stderr)
    code = 128 + signal.SIGINT
  except Exception as error:
    if os.environ.get(TRACEBACK):
      raise
    print(f"jaxmem: {unforeseen(error)}", file=sys.stderr)
    code = 1
  sys.exit(code)


def unforeseen(error: Exception) -> str:
  """What is said of an error that no command expected: never that it is the user's.

  The traceback is kept in a file, since a run of hours is not repeated for it.
  """
  if "RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError):
    return (
      f"out of memory ({reason(error)[:120]}): lower the rows, the length or the model"
    )
  if isinstance(error, OSError) and error.strerror:
    where = f" ({error.filename})" if error.filename else ""
    return f"the system refused: {error.strerror}{where}"
  with tempfile.NamedTemporaryFile(
    "w", prefix="jaxmem-", suffix=".txt", delete=False, encoding="utf-8",
    errors="backslashreplace",
  ) as file:  # fmt: skip
    traceback.print_exception(error, file=file)
  return (
    f"a bug of jaxmem: {reason(error)}; please report it with the command and "
    f"{file.name}, or see it here with {TRACEBACK}=1"
  )


if __name__ == "__main__":
  main()
