"""trains the experiment of a config file: jaxmem train CONFIG.py [--KEY VALUE ...]"""

import dataclasses
import importlib.util
import typing
from pathlib import Path
from typing import Any

from jaxmem.commands import require
from jaxmem.config import RETIRED, Config
from jaxmem.errors import UserError
from jaxmem.modules import pattern


def main(argv: list[str]) -> int:
  """`jaxmem train CONFIG.py ...`: the file's `config`, changed by flags."""
  if not argv or argv[0].startswith("-"):
    raise UserError("jaxmem train needs a config file, such as configs/quickstart.py")
  path = Path(argv[0])
  require("tyro")
  import tyro

  base = load_config(path)
  _refuse_retired(argv[1:])

  @dataclasses.dataclass(frozen=True)
  class Options(type(base)):
    """The experiment of the file, changed by flags.

    Attributes:
      workdir: where the run is kept.
      memory: replaces the recurrent memories of the pattern.
      resume: goes on if there is a checkpoint, must go on, or must not.
      distributed: one of several processes, see `jaxmem.parallel.distributed`.
    """

    # of the file's own kinds, so that their fields are the flags
    model: type(base.model) = base.model
    data: type(base.data) = base.data
    workdir: str = f"runs/{path.stem}"
    memory: str = ""
    resume: typing.Literal["auto", "must", "never"] = "auto"
    distributed: bool = False

  fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
  with pattern_flags():
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

  if given.distributed:
    from jaxmem.parallel import distributed

    distributed.initialize()
  from jaxmem.train import train

  return train(config, Path(given.workdir), given.resume)


def _refuse_retired(argv: list[str]) -> None:
  """Raises UserError for a flag that another one has replaced."""
  for key, instead in RETIRED.items():
    for word in argv:
      name = word.split("=")[0].replace("-", "_")
      if name in (f"__{key}", f"__no_{key}"):
        raise UserError(f"{word} is now {instead}")


def load_config(path: Path) -> Config:
  """The `config` of a Python file."""
  if not path.is_file():
    raise UserError(f"no config file {path}: give a Python file that defines `config`")
  spec = importlib.util.spec_from_file_location("jaxmem_config", path)
  if spec is None:
    raise UserError(f"{path} is not a Python file: a config is one that ends in .py")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except TypeError as error:  # of a dataclass that no longer has the field
    for key, instead in RETIRED.items():
      if f"unexpected keyword argument '{key}'" in str(error):
        raise UserError(f"{path} gives {key}, which is now {instead}") from error
    raise
  config = getattr(module, "config", None)
  if not isinstance(config, Config):
    raise UserError(
      f"{path} defines no `config`, which should be a jaxmem.config.Config"
    )
  return config


def pattern_flags() -> Any:
  """Lets tyro read a pattern as one word instead of a tuple of fixed length."""
  import tyro
  from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

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
