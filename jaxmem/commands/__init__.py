"""The commands of `jaxmem`: each is one file, and the file's name is the command.

Each file has `main(argv) -> exit code` and `forms()`, which is what the command takes.
The first line of its docstring says what the command does, and how it is called.
"""

import ast
import dataclasses
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jaxmem.core import files, migrations
from jaxmem.core.errors import UserError, raised_as

# The commands in the order of `jaxmem --help`; a file that no group names comes last.
GROUPS: Mapping[str, Sequence[str]] = {
  "Train and use": ("train", "configs", "generate", "predict", "index", "tokenizer"),
  "Models of others": ("export", "convert"),
  "Evaluate": ("eval", "probe", "compare", "bench"),
  "Look inside": ("inspect", "draw", "memories"),
  "Develop": ("new", "laws"),
  "Your shell": ("completion",),
}


def command_help() -> dict[str, str]:
  """Maps each command to its line of help, without importing the commands."""
  lines = {}
  for info in pkgutil.iter_modules(__path__):
    # parsed, not imported: some commands import JAX at their head
    text = files.read_text(Path(__path__[0]) / f"{info.name}.py")
    lines[info.name] = ast.get_docstring(ast.parse(text)).splitlines()[0]
  order = [name for names in GROUPS.values() for name in names]
  places = {name: order.index(name) if name in order else len(order) for name in lines}
  return dict(sorted(lines.items(), key=lambda item: places[item[0]]))


def load(name: str) -> Any:
  """Imports the module of a command.

  Args:
    name: of the command.
  """
  return importlib.import_module(f"jaxmem.commands.{name}")


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
  from jaxmem.core import ranges  # with NumPy, which the list of commands does not need

  with raised_as(UserError):  # `ranges` raises ValueError: it serves configs, too
    ranges.check(options, "--")


@dataclasses.dataclass(frozen=True)
class ModelOptions:
  """The options of a command that uses a language model: a run, or a pretrained one.

  Attributes:
    workdir: the work directory of a run of `jaxmem train`.
    checkpoint: of a run, the last one, or the best on held-out text.
    model: in the place of a run: smollm2, a folder, a .gguf, hf:ORG/NAME.
    memory: the full attention of such a model becomes window:window_size=64, say.
    dtype: of the parameters of a pretrained model.
  """

  workdir: str = ""
  checkpoint: Literal["last", "best"] = "last"
  model: str = ""
  memory: str = ""
  dtype: Literal["float32", "bfloat16"] = "float32"

  @property
  def address(self) -> str:
    """Where the model lies; see `one_model`."""
    return one_model(self.workdir, self.model)

  def find(self) -> Any:
    """Finds the model; its weights are not read.

    Raises:
      UserError: see `evaluation.language_model.find`.
    """
    from jaxmem.evaluation import language_model  # imports the models

    return language_model.find(self.address, self.checkpoint, self.memory, self.dtype)


def one_model(workdir: str, model: str) -> str:
  """Returns where a model lies, by two options of which one is given.

  Args:
    workdir: of a run.
    model: a pretrained model, or again a run.

  Raises:
    UserError: if none is given, or both are, or --model names no model.
  """
  if workdir and model:
    raise UserError(f"--workdir {workdir} and --model {model}: give one of them")
  if not (workdir or model):
    raise UserError(
      "--workdir is missing: give that of a run of `jaxmem train`, or --model"
    )
  from jaxmem.interop import addresses  # imports the models

  is_run = (Path(model) / "checkpoints").is_dir()
  if model and not is_run and not addresses.is_address(model):
    raise addresses.unknown(model)
  return workdir or model


def workdir() -> Any:
  """Returns the required option that names the work directory of a trained run."""
  from jaxmem.core import ranges

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
