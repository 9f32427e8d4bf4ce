"""The command `jaxmem`: finds the file of a command, and prints errors as messages."""

import gc
import importlib.metadata
import locale
import os
import platform
import signal
import sys
import tempfile
import traceback

import jaxmem
from jaxmem import commands
from jaxmem.commands import GROUPS, command_help
from jaxmem.core import kinds
from jaxmem.core.errors import RunError, UserError, reason
from jaxmem.core.kinds import FLAG
from jaxmem.core.progress import interrupted
from jaxmem.core.registry import nearest
from jaxmem.runtime import compilation

# The environment variable that lets Python print the traceback of unforeseen errors.
TRACEBACK = "JAXMEM_TRACEBACK"
# Words after which nothing is computed: the program need not start again for them.
_QUICK = ("help", "configs", "-h", "--help", "--help-all", "-V", "--version")
_REMARKS = (
  "Begin with: jaxmem train quickstart",
  "jaxmem help COMMAND shows a command, jaxmem COMMAND --help-all all of its options.",
  f"{FLAG} MODULE, of any command, adds mixers, models or tasks of your own.",
)


def usage() -> str:
  """Returns the help of the whole program."""
  lines, texts = ["usage: jaxmem COMMAND ..."], command_help()
  named = [name for names in GROUPS.values() for name in names]
  groups = {**GROUPS, "Others": [name for name in texts if name not in named]}
  for title, names in groups.items():
    rows = [f"  {name:<10} {texts[name]}" for name in names if name in texts]
    lines += ["", f"{title}:", *rows] if rows else []
  return "\n".join([*lines, "", *_REMARKS])


def version() -> str:
  """Returns the versions of jaxmem and of what it computes with."""
  versions = [f"jaxmem {jaxmem.__version__}"]
  for name in ("jax", "flax"):
    try:  # from their files: importing them would take seconds
      versions.append(f"{name} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
      versions.append(f"{name} is not installed")
  return "\n".join([*versions, f"python {platform.python_version()}"])


def load_plugins(argv: list[str]) -> list[str]:
  """Imports the modules of `--plugins MODULE`, and returns the other arguments.

  A module is also looked for in the working directory.

  Args:
    argv: the arguments of the program.

  Raises:
    UserError: if a name is missing, or names a module that is no plugin.
  """
  others, names, words = [], [], iter(argv)
  for word in words:
    if word == FLAG:
      names.append(next(words, ""))
    elif word.startswith(f"{FLAG}="):
      names.append(word.removeprefix(f"{FLAG}="))
    else:
      others.append(word)
  if names and os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())
  for name in names:
    kinds.load(name)
  return others


def start_again() -> None:
  """Starts Python again with the environment variables that it reads at its start.

  One asks for huge pages: XLA on CPU frees its buffers after every call, so every page
  faults again; with huge pages elementwise work on large arrays takes a half to a fifth
  of the time. It also bounds the arenas of malloc: with one for each thread, the
  compiler leaves 170 MiB more behind. The other, where the locale has another encoding,
  makes UTF-8 that of arguments, paths, streams and child processes.
  """
  if sys.platform != "linux":
    return
  variables = {}
  if "GLIBC_TUNABLES" not in os.environ:
    variables["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2"
  encoding = locale.getencoding().lower().replace("-", "")
  if not sys.flags.utf8_mode and encoding != "utf8":
    variables["PYTHONUTF8"] = "1"
  if variables:
    arguments = [sys.executable, "-m", "jaxmem.cli", *sys.argv[1:]]
    os.execve(sys.executable, arguments, os.environ | variables)


def use_utf8() -> None:
  """Makes the standard streams UTF-8; text that UTF-8 cannot encode is escaped."""
  for stream in (sys.stdin, sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
      errors = "surrogateescape" if stream is sys.stdin else "backslashreplace"
      stream.reconfigure(encoding="utf-8", errors=errors)


def run(argv: list[str]) -> int:
  """Runs a command and returns its exit code.

  The code is 0 after success; 2 after a mistake of the user, which is one message
  without a traceback; 1 if a run cannot continue; and 75 if it was stopped and the same
  command resumes it.

  Args:
    argv: the arguments of the program.
  """
  try:
    argv = load_plugins(argv)
    if argv[:1] == ["help"]:  # `help COMMAND` is `COMMAND --help`
      argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help", "--help-all"):
      print(usage())
      return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
      print(version())
      return 0
    name, *arguments = argv
    if name not in command_help():
      raise UserError(f"no command {name!r}: {nearest(name, list(command_help()))}")
    return commands.load(name).main(arguments)
  except UserError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 2
  except RunError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 1


def main() -> None:
  """Runs the program: the entry point `jaxmem`."""
  if sys.argv[1:2] and sys.argv[1] not in _QUICK:
    start_again()
  use_utf8()
  # tracing a model makes millions of objects that stay: looking for garbage among them
  # as often as Python does is 15 % of the time until the first token
  gc.set_threshold(200_000, 20, 100)
  compilation.enable()
  try:
    code = run(sys.argv[1:])
    sys.stdout.flush()
  except BrokenPipeError:  # of `| head`: exit silently, as after SIGPIPE
    # the interpreter flushes stdout at exit, which would raise again
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = 128 + signal.SIGPIPE
  except KeyboardInterrupt as error:
    print(f"jaxmem: {interrupted(error)}", file=sys.stderr)
    code = 128 + signal.SIGINT
  except Exception as error:
    if os.environ.get(TRACEBACK):
      raise
    print(f"jaxmem: {unforeseen(error)}", file=sys.stderr)
    code = 1
  sys.exit(code)


def unforeseen(error: Exception) -> str:
  """Returns the message about an error that no command expected.

  The traceback goes to a file, since a run of hours is not repeated for it.

  Args:
    error: any but a UserError or a RunError.
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
