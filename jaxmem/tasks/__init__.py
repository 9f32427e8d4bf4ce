"""What a run learns: its batches, its score, its end. A kind of task is one folder.

    tasks/my_task/task.py    Config, fit, Job; Predictor where records are answered

`language_modeling` is what a source of text is for; `synthetic` is a question to a
memory, a file of `tasks.synthetic.problems`. The trainer knows only what stands in
`tasks.base`.

- `Config` is the type of `Config.task` of a run; it decides the task.
- `fit(model, config)` fills in what the data decide of a model's config; costs nothing.
- `Job(config, context, model)` reads the data; see `base.Job` and `base.TaskContext`.
- `Predictor(config, model, params, workdir)` answers records; see `base.Predictor`.
- `packages(config, context)` names what else must be installed: module -> extra.

Nothing here, or below, imports `jaxmem.training`.
"""

import typing
from types import ModuleType
from typing import Any

from jaxmem.core import kinds, migrations
from jaxmem.core.errors import ConfigError
from jaxmem.data import bad_records
from jaxmem.tasks.base import (
  Application,
  Findings,
  Job,
  Predictor,
  Reading,
  Rows,
  TaskContext,
)

__all__ = [
  "Application",
  "Findings",
  "Job",
  "Predictor",
  "Reading",
  "Rows",
  "TaskContext",
]

TASK = migrations.SYNTHETIC


def names() -> list[str]:
  """The kinds of tasks, by the names of their folders; nothing is imported."""
  return kinds.TASKS.names()


def get(kind: str) -> ModuleType:
  """The module `task` of the folder of a kind, which may be a former name.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return kinds.TASKS.get(kind)


def kind(config: Reading) -> str:
  """The registered name of the task that a data config is of.

  Raises:
    KeyError: if it is of none.
  """
  return kinds.TASKS.name_of(type(config))


def fit(model: Any, data: Reading) -> Any:
  """The model's config with all that the data decide of it; costs nothing.

  Raises:
    ConfigError: if the data are learned by another kind of model, or a number is out of
      range.
  """
  module = get(kind(data))
  wanted = typing.get_type_hints(module.fit)["model"]
  if isinstance(wanted, type) and not isinstance(model, wanted):
    raise ConfigError(
      f"{type(data).__name__} needs model={wanted.__name__}(...), and model is of "
      f"type {type(model).__name__}: give another model, or other data"
    )
  return module.fit(model, data)


def packages(config: Reading, context: TaskContext) -> dict[str, str]:
  """What the data and the report of a task need: module -> the extra that brings it."""
  tokenizer = getattr(config, "tokenizer", "")
  trains = tokenizer.startswith("sp:") or tokenizer.endswith(".model")
  needed = {"sentencepiece": "text"} if trains else {}
  more = getattr(get(kind(config)), "packages", None)
  return needed | (more(config, context) if more else {})


def make(config: Reading, context: TaskContext, model: Any) -> Job:
  """The task of a config; reads and prepares its data.

  Args:
    config: of the task.
    context: of its run.
    model: of a config that `fit` returned.

  Raises:
    ConfigError, DataError, CapacityError: before any device work.
  """
  with bad_records.policy(getattr(config, "bad_records", bad_records.STOP)):
    return get(kind(config)).Job(config, context, model)
