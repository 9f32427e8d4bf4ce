"""trains the experiment of a config: jaxmem train NAME|FILE.py [--KEY VALUE ...]"""

import dataclasses
import importlib.util
import re
import traceback
import typing
from pathlib import Path
from typing import Any

from jaxmem import configs, models, tasks
from jaxmem.commands import current_flags, require
from jaxmem.core.errors import UserError, reason
from jaxmem.core.migrations import RETIRED, moved_flags
from jaxmem.core.registry import nearest
from jaxmem.models import pattern
from jaxmem.training.config import Config, typed


def main(argv: list[str]) -> int:
  """Runs `jaxmem train CONFIG ...`: trains the config, changed by flags."""
  if not argv or argv[0].startswith("-"):
    raise UserError(
      "jaxmem train needs a config: a name that `jaxmem configs` lists, such as "
      "quickstart, or a Python file that defines `config`"
    )
  name = argv[0]
  require("tyro")
  import tyro

  base = load_config(name)  # before tyro, whose flags are the fields of this config
  argv = [name, *current_flags(argv[1:])]
  if models.kind(base.model) == "encoder":
    argv = current_flags(argv, moved_flags(tasks.kind(base.task)))
  _refuse_retired(argv[1:])
  model_type = with_pattern_flags(type(base.model))

  @dataclasses.dataclass(frozen=True)
  class Options(type(base)):
    """The experiment of the config, changed by flags.

    Attributes:
      workdir: the directory of the run.
      memory: replaces the recurrent memories of the pattern.
      resume: auto continues if there is a checkpoint; must and never insist.
      distributed: joins the other processes, see `jaxmem.parallel.distributed`.
    """

    # typed as the config's own classes, so that tyro makes flags of their fields
    model: model_type = model_type(**_fields(base.model))
    task: type(base.task) = base.task
    workdir: str = f"runs/{Path(name).stem}"
    memory: str = ""
    resume: typing.Literal["auto", "must", "never"] = "auto"
    distributed: bool = False

  fields = _fields(base)
  options = tyro.cli(
    Options,
    default=Options(**fields | {"model": model_type(**_fields(base.model))}),
    args=argv[1:],
    prog=f"jaxmem train {name}",
    description=base.__doc__,
  )
  model = type(base.model)(**_fields(options.model))
  config = type(base)(**{n: getattr(options, n) for n in fields} | {"model": model})
  experiments = _experiments(config, Path(options.workdir), options.memory)
  if options.distributed:
    from jaxmem.parallel import distributed

    distributed.initialize()  # before anything asks JAX for devices
  from jaxmem.training.trainer import train

  resume = options.resume
  for workdir, config in experiments.items():
    if code := train(config, workdir, resume):
      return code
    # a run that stopped in the first experiment has nothing of the next to resume
    resume = "auto" if resume == "must" else resume
  return 0


def _experiments(config: Config, workdir: Path, memory: str) -> dict[Path, Config]:
  """Returns work directory -> config, of an experiment and of those that follow it.

  Args:
    config: of the first experiment.
    workdir: of the first experiment.
    memory: replaces the recurrent memories of all patterns; "" leaves them.

  Raises:
    UserError: if a config that follows cannot be read, or follows itself.
  """
  experiments = {workdir: config}
  visited = {}
  while name := config.then:
    path = configs.find(name)
    if path in visited:
      raise UserError(f"config {visited[path]} follows itself: change a `then`")
    visited[path] = name
    following = load_config(path)
    steps = min(following.steps, config.steps)
    config = dataclasses.replace(following, steps=steps)
    workdir = workdir / path.stem
    experiments[workdir] = config
  if memory:
    experiments = {d: _with_memory(c, memory) for d, c in experiments.items()}
  return experiments


def _with_memory(config: Config, memory: str) -> Config:
  """Returns the config with another memory in place of the recurrent ones."""
  # attention stays where it is: --memory compares recurrences in one pattern
  new = pattern.replace_recurrent(config.model.pattern, memory)
  model = dataclasses.replace(config.model, pattern=new)
  return dataclasses.replace(config, model=model)


def _refuse_retired(argv: list[str]) -> None:
  """Raises UserError for a flag that another one has replaced."""
  for key, retired in RETIRED.items():
    for word in argv:
      name = word.split("=")[0].replace("-", "_")
      if name in (f"__{key}", f"__no_{key}"):
        raise UserError(f"{word} is now {retired.instead}")


def load_config(path: str | Path) -> Config:
  """Returns the `config` of a Python file.

  Args:
    path: of the file, or the name of a packaged config.

  Raises:
    UserError: if the file cannot be run, or defines no `Config` of this name.
  """
  path = configs.find(path)
  if path.is_dir():
    raise UserError(f"{path} is a directory: give a Python file that defines `config`")
  if not path.is_file():
    raise UserError(
      f"no config file {path}: give a Python file that defines `config`, or a name "
      "that `jaxmem configs` lists"
    )
  spec = importlib.util.spec_from_file_location("jaxmem_config", path)
  if spec is None:
    raise UserError(f"{path} is not a Python file: a config is one that ends in .py")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # a user's file may raise anything
    raise UserError(_why(path, error)) from error
  config = getattr(module, "config", None)
  if not isinstance(config, Config):
    raise UserError(
      f"{path} defines no `config`, which should be a jaxmem.training.config.Config"
    )
  return typed(config)


def _why(path: Path, error: BaseException) -> str:
  """Returns what is wrong with a config file, and in which line."""
  if isinstance(error, SyntaxError):
    where = f"{path} line {error.lineno}" if error.lineno else str(path)
    return f"{where} is not Python: {error.msg}"
  if isinstance(error, ValueError) and "null bytes" in str(error):
    return f"{path} is not Python: {error}"  # a SyntaxError since Python 3.11.4
  frames = traceback.extract_tb(error.__traceback__)
  # the last line within the file, not in the library that it calls
  lines = [frame.lineno for frame in frames if frame.filename == str(path)]
  where = f"{path} line {lines[-1]}" if lines else str(path)
  unknown = re.search(
    r"(?:(\w+)\.__init__\(\) )?got an unexpected keyword argument '(\w+)'", str(error)
  )
  if isinstance(error, TypeError) and unknown:
    owner, key = unknown.groups()
    if key in RETIRED:
      return f"{path} gives {key}, which is now {RETIRED[key].instead}"
    if owner:
      return f"{where}: {owner} has no {key!r}: {_nearest_field(error, owner, key)}"
  return f"{where} raises {reason(error)}"


def _nearest_field(error: BaseException, owner: str, key: str) -> str:
  """Returns a hint at the field that was meant."""
  names: list[str] = []
  # the class is looked up by the name that the failing code has for it
  frame = error.__traceback__
  while frame is not None:
    cls = frame.tb_frame.f_globals.get(owner)
    if dataclasses.is_dataclass(cls):
      names = [field.name for field in dataclasses.fields(cls)]
    frame = frame.tb_next
  return nearest(key, names) if names else "look at its fields"


def with_pattern_flags(cls: type) -> type:
  """Returns a config class whose patterns are flags of one word each.

  By itself tyro treats a pattern as a tuple of dataclasses: it makes flags of the
  entries of the default, or none at all where they differ.

  Args:
    cls: a dataclass, such as the config of a model.

  Returns:
    A subclass of `cls` with the same fields.
  """
  import tyro

  word = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="NAME[:OPTION=VALUE],...",
    instance_from_str=lambda args: pattern.parse(args[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [pattern.show(value)],
  )
  hints = typing.get_type_hints(cls)
  changed = [
    (field.name, typing.Annotated[pattern.Pattern, word], field)
    for field in dataclasses.fields(cls)
    if hints[field.name] == pattern.Pattern
  ]
  namespace = {"__doc__": cls.__doc__, "__module__": cls.__module__}
  return dataclasses.make_dataclass(
    cls.__name__, changed, bases=(cls,), frozen=True, namespace=namespace
  )


def _fields(config: Any) -> dict[str, Any]:
  return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
