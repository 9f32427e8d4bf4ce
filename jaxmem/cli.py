"""The command `jaxmem`."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from jaxmem.errors import UserError
from jaxmem.registry import nearest

_USAGE = """usage: jaxmem COMMAND ...

  train CONFIG.py [--workdir DIR] [--memory NAME] [--resume auto|must|never] [--KEY V]
            trains the experiment of a file; --help lists every key
  memories  prints the table of memories
"""


def train(argv: list[str]) -> int:
  """`jaxmem train CONFIG.py ...`: the file's `config`, changed by flags."""
  if not argv or argv[0].startswith("-"):
    raise UserError("jaxmem train needs a config file, such as configs/quickstart.py")
  path = Path(argv[0])
  _require_extra("tyro")
  import dataclasses
  import typing

  import tyro

  from jaxmem.modules import pattern

  base = _load(path)

  @dataclasses.dataclass(frozen=True)
  class Options(type(base)):
    """The experiment of the file, changed by flags."""

    workdir: str = f"runs/{path.stem}"
    memory: str = ""
    resume: typing.Literal["auto", "must", "never"] = "auto"

  fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
  with _patterns():
    given = tyro.cli(
      Options,
      default=Options(**fields),
      args=argv[1:],
      prog=f"jaxmem train {path}",
      description=base.__doc__,
    )
  config = type(base)(**{name: getattr(given, name) for name in fields})
  if given.memory:
    new = pattern.replace_recurrent(config.model.pattern, given.memory)
    model = dataclasses.replace(config.model, pattern=new)
    config = dataclasses.replace(config, model=model)

  from jaxmem.train import train as run

  return run(config, Path(given.workdir), given.resume)


def memories(argv: list[str]) -> int:
  """`jaxmem memories`: the table."""
  from jaxmem import table

  if argv:
    raise UserError(f"jaxmem memories takes no arguments, got {argv}")
  print(table.markdown())
  return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {"train": train, "memories": memories}


def _load(path: Path):
  """The `config` of a Python file."""
  from jaxmem.config import Config

  if not path.is_file():
    raise UserError(f"no config file {path}: give a Python file that defines `config`")
  spec = importlib.util.spec_from_file_location("jaxmem_config", path)
  if spec is None:
    raise UserError(f"{path} is not a Python file: a config is one that ends in .py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = getattr(module, "config", None)
  if not isinstance(config, Config):
    raise UserError(
      f"{path} defines no `config`, which should be a jaxmem.config.Config"
    )
  return config


def _patterns():
  """Lets tyro read a pattern as one word instead of a tuple of fixed length."""
  import tyro
  from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

  from jaxmem.modules import pattern

  registry = ConstructorRegistry()

  @registry.primitive_rule
  def _(info: tyro.constructors.PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type != pattern.Pattern:
      return None
    return PrimitiveConstructorSpec(
      nargs=1,
      metavar="NAME[:OPTION=VALUE],...",
      instance_from_str=lambda args: pattern.parse(args[0]),
      is_instance=lambda value: isinstance(value, tuple),
      str_from_instance=lambda value: [pattern.show(value)],
    )

  return registry


def _require_extra(module: str) -> None:
  if importlib.util.find_spec(module) is None:
    raise UserError(f"this command needs {module}: pip install 'jaxmem[train]'")


def _use_huge_pages() -> None:
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
  """Runs a command; a mistake of the user's is one message and code 2."""
  if not argv or argv[0] in ("-h", "--help"):
    print(_USAGE)
    return 0 if argv else 2
  name, *rest = argv
  if name not in COMMANDS:
    print(
      f"jaxmem: no command {name!r}: {nearest(name, list(COMMANDS))}", file=sys.stderr
    )
    return 2
  from jaxmem.checkpoint import CheckpointError

  try:
    return COMMANDS[name](rest)
  except UserError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 2
  except CheckpointError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    return 1


def main() -> None:
  """The entry point of the command."""
  _use_huge_pages()
  sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
  main()
