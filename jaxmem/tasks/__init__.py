"""What a run learns: its batches, score and report. A kind of task is one folder.

    tasks/my_task/task.py    Config, resolve_model, Task and perhaps Predictor

`language_modeling` learns a source of text; `synthetic` generates problems that test a
memory, each of them a file of `tasks.synthetic.problems`. The trainer uses only the
protocols of `tasks.base`. A task module defines

- `Config`, the type of the field `task` of a run's config: it decides the task;
- `resolve_model(model, config)`, which completes a model's config by sizes of the data,
  and costs nothing;
- `make_model(model, config)`, which puts the task's head and loss on a model that has
  none, such as an encoder; optional;
- `complete(config, seed)`, which fills in what must be counted in the data; optional;
- `Task(config, context, model)`, which reads the data, see `base.Task`;
- `Predictor(config, model, params, workdir)`, which answers records, see
  `base.Predictor`; optional;
- `packages(config, context)`, which names the packages that must be installed, as
  module -> extra of jaxmem; optional.

Neither this package nor its tasks import `jaxmem.training`.
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
  EvalResult,
  EvaluableTask,
  Predictor,
  Report,
  Rows,
  Task,
  TaskConfig,
  TaskContext,
)

__all__ = [
  "EvaluableTask",
  "EvalResult",
  "Task",
  "Predictor",
  "Report",
  "TaskConfig",
  "Rows",
  "TaskContext",
]

# What the source of a synthetic task begins with: "task:mqar:pairs=8".
TASK = migrations.SYNTHETIC


def names() -> list[str]:
  """Returns the kinds of tasks, named by their folders; imports nothing."""
  return kinds.TASKS.names()


def get(kind: str) -> ModuleType:
  """Returns the module `task` of the folder of a kind.

  Args:
    kind: the kind, or a former name of it.

  Raises:
    KeyError: if there is no such kind; names the nearest.
  """
  return kinds.TASKS.get(kind)


def kind(config: TaskConfig) -> str:
  """Returns the registered name of the task that a config belongs to.

  Args:
    config: config of a task.

  Raises:
    KeyError: if no task has a config of this type.
  """
  return kinds.TASKS.name_of(type(config))


def resolve_model(model: Any, config: TaskConfig) -> Any:
  """Returns the model's config, completed by what the task decides; costs nothing.

  Args:
    model: config of the model.
    config: config of the task.

  Raises:
    ConfigError: if the task needs another kind of model, or a number is out of range.
  """
  module = get(kind(config))
  # the annotation of a task's `resolve_model` declares which models can learn it
  model_type = typing.get_type_hints(module.resolve_model)["model"]
  if isinstance(model_type, type) and not isinstance(model, model_type):
    raise ConfigError(
      f"{type(config).__name__} needs model={model_type.__name__}(...), and model is "
      f"of type {type(model).__name__}: give another model, or another task"
    )
  return module.resolve_model(model, config)


def complete(config: TaskConfig, seed: int) -> TaskConfig:
  """Returns the task's config with the fields that must be counted in its data.

  The completed config is saved, so that a run can be loaded without its data.

  Cost: one pass over the data, if a field must be counted.

  Args:
    config: config of the task, with absolute paths.
    seed: seed of the run.

  Raises:
    DataError: if the data cannot be read.
  """
  module = get(kind(config))
  if not hasattr(module, "complete"):
    return config
  with bad_records.policy(getattr(config, "bad_records", bad_records.STOP)):
    return module.complete(config, seed)


def make_model(model: Any, config: TaskConfig) -> nn.Module:
  """Returns the module that a run trains, a `models.TrainableModel`, unbound.

  Args:
    model: config of the model, returned by `resolve_model`.
    config: config of the task, returned by `complete`.

  Raises:
    ConfigError: if the model has no loss, and the task does not add one.
  """
  task = get(kind(config))
  if hasattr(task, "make_model"):
    return task.make_model(model, config)
  module = models.make(model)
  if not hasattr(module, "objective"):
    raise ConfigError(
      f"{type(model).__name__} is of a model without a loss: {task.__name__} must "
      "define make_model(model, config), as jaxmem.tasks.classification.task does"
    )
  return module


def packages(config: TaskConfig, context: TaskContext) -> dict[str, str]:
  """Returns the packages that a task needs: module -> the extra that installs it.

  Args:
    config: config of the task.
    context: context of its run.
  """
  tokenizer = getattr(config, "tokenizer", "")
  is_sentencepiece = tokenizer.startswith("sp:") or tokenizer.endswith(".model")
  needed = {"sentencepiece": "text"} if is_sentencepiece else {}
  task_packages = getattr(get(kind(config)), "packages", None)
  return needed | (task_packages(config, context) if task_packages else {})


def make(config: TaskConfig, context: TaskContext, model: Any) -> Task:
  """Makes the task of a config: reads and prepares its data.

  Args:
    config: config of the task.
    context: context of its run.
    model: the module that `make_model` returned.

  Raises:
    ConfigError: if the config does not fit the data, before any device work.
    DataError: if data cannot be read, before any device work.
    CapacityError: if a memory is too small for a row, before any device work.
  """
  with bad_records.policy(getattr(config, "bad_records", bad_records.STOP)):
    return get(kind(config)).Task(config, context, model)
