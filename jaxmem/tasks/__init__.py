"""What a run learns: its batches, its score, its end. A kind of task is one folder.

    tasks/my_task/task.py    Config, fit, Job; Predictor where records are answered

`language_modeling` is what a source of text is for; `synthetic` is a question to a
memory, a file of `tasks.synthetic.problems`. The trainer knows only what stands in
`tasks.base`.

- `Config` is the type of `Config.task` of a run; it decides the task.
- `fit(model, config)` fills in what the data decide of a model's config; costs nothing.
- `make_model(model, config)` puts the task's head and loss on a model that has none,
  such as an encoder.
- `complete(config, seed)` fills in what must be counted in the data.
- `Job(config, context, model)` reads the data; see `base.Job` and `base.TaskContext`.
- `Predictor(config, model, params, workdir)` answers records; see `base.Predictor`.
- `packages(config, context)` names what else must be installed: module -> extra.

Nothing here, or below, imports `jaxmem.training`.
"""

import typing
from types import ModuleType
from typing import Any

from flax import linen as nn

from jaxmem import models
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


def complete(config: Reading, seed: int) -> Reading:
  """The task's config with what is counted in its data, so that a run loads without.

  Cost: a reading of the data, if something was left to be counted.

  Args:
    config: of the task, with absolute paths.
    seed: of the run.

  Raises:
    DataError: if the data cannot be read.
  """
  module = get(kind(config))
  if not hasattr(module, "complete"):
    return config
  with bad_records.policy(getattr(config, "bad_records", bad_records.STOP)):
    return module.complete(config, seed)


def make_model(model: Any, config: Reading) -> nn.Module:
  """What a run trains, see `models.TrainableModel`; makes no parameters.

  Args:
    model: a config that `fit` returned.
    config: of the task, complete.

  Raises:
    ConfigError: if the model has no loss, and the task gives it none.
  """
  module = get(kind(config))
  if hasattr(module, "make_model"):
    return module.make_model(model, config)
  made = models.make(model)
  if not hasattr(made, "objective"):
    raise ConfigError(
      f"{type(model).__name__} is of a model without a loss: {module.__name__} must "
      "define make_model(model, config), as jaxmem.tasks.classification.task does"
    )
  return made


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
    model: see `make_model`.

  Raises:
    ConfigError, DataError, CapacityError: before any device work.
  """
  with bad_records.policy(getattr(config, "bad_records", bad_records.STOP)):
    return get(kind(config)).Job(config, context, model)
