"""trains the experiment of a config: jaxmem train NAME|FILE.py [--KEY VALUE ...]"""

import dataclasses
import importlib.util
import re
import traceback
import typing
from pathlib import Path
from typing import ClassVar

from jaxmem import configs, models, tasks
from jaxmem.commands import current_flags, require
from jaxmem.core import docstrings
from jaxmem.core.command_line import read, replaced, show_help
from jaxmem.core.errors import UserError, reason
from jaxmem.core.migrations import RETIRED, moved_flags
from jaxmem.core.options import Command, Option, Page, describe
from jaxmem.core.registry import nearest
from jaxmem.models import pattern
from jaxmem.training.config import TEXTS, Config, typed


@dataclasses.dataclass(frozen=True)
class Options:
  """Trains the experiment of a config, and writes a report. Every key of the config is
  a flag: `jaxmem train quickstart --help-all` lists them.

  The same command continues a run that was stopped.

  Attributes:
    workdir: the directory of the run.
    memory: replaces the recurrent memories of the pattern.
    resume: auto continues if there is a checkpoint; must and never insist.
    distributed: joins the other processes, see `jaxmem.parallel.distributed`.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem train quickstart --workdir runs/lstm --memory lstm --steps 300",
    {
      "The run": ("config", "workdir", "resume"),
      "The model": ("memory", "model.pattern", "model.d_model"),
      "The data": ("task.source", "task.segment_length", "task.batch_size"),
      "The training": ("steps", "optim.learning_rate", "validation.every"),
    },
    places=("config",),
    words={
      "workdir": "DIR", "memory": "MEMORY", "model.pattern": "MEMORIES",
      "task.source": "SOURCE",
    },
  )  # fmt: skip

  workdir: str = "runs/CONFIG"
  memory: str = ""
  resume: typing.Literal["auto", "must", "never"] = "auto"
  distributed: bool = False


# The word before the flags; it is read before them, since it decides which they are.
_CONFIG = Option(
  "config", str, "", "a name of `jaxmem configs`, or a Python file", "CONFIG",
  choices=tuple(configs.names()), required="give one, such as quickstart", placed=True,
)  # fmt: skip


def forms() -> list[Command]:
  """Returns what the command takes where no config is named: the keys of text."""
  command = describe("jaxmem train", Options(), Config(), texts=TEXTS)
  return [command._replace(options=(_CONFIG, *command.options))]


def main(argv: list[str]) -> int:
  """Runs `jaxmem train CONFIG ...`: trains the `config`, changed by flags."""
  if not argv or argv[0].startswith("-"):
    show_help(forms()[0], argv)
    raise UserError(
      "jaxmem train needs a config: a name that `jaxmem configs` lists, such as "
      "quickstart, or a Python file that defines `config`"
    )
  name = argv[0]
  require("grain")
  base = load_config(name)
  flags = current_flags(argv[1:])
  if models.kind(base.model) == "encoder":
    flags = current_flags(flags, moved_flags(tasks.kind(base.task)))
  _refuse_retired(flags)
  defaults = Options(workdir=f"runs/{Path(name).stem}")
  command = describe(f"jaxmem train {name}", defaults, base, texts=TEXTS)
  values = read(command._replace(text=_about(name)), flags)
  options, config = replaced(defaults, values), replaced(base, values)
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


def _about(name: str) -> str:
  """Returns what a config says of itself, else what the command does."""
  first = configs.summary(configs.find(name))
  return first or docstrings.parts(Options.__doc__ or "")[0].strip()


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
