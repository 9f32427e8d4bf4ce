"""Paths of a work directory, so that it can be moved with everything it needs."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from jaxmem.core import paths
from jaxmem.tokenizers import trained
from jaxmem.training import config as configs
from jaxmem.training.config import Config


def absolute(config: Config) -> Config:
  """Makes the paths of a config absolute, so that it means the same from everywhere."""
  config = configs.with_paths(config, paths.absolute)
  directory = getattr(config.task, "data_dir", "")
  if not directory:
    return config
  path = os.path.abspath(os.path.expanduser(directory))
  return configs.with_values(config, {"task.data_dir": path})


def saved_config(meta: dict[str, Any], workdir: Path) -> Config:
  """Reads the config of a checkpoint, and updates paths that moved with the run.

  Args:
    meta: the metadata of the checkpoint.
    workdir: the absolute path of the run today.

  Raises:
    ConfigError: if the config cannot be read.
  """
  config = configs.from_json(meta["config"])
  saved_at = meta.get("workdir", "")
  if not saved_at:  # a checkpoint of an older version does not say where it was
    return config
  return configs.with_paths(
    config, lambda path: paths.moved(path, saved_at, str(workdir))
  )


def with_kept_tokenizer(config: Config, workdir: Path) -> Config:
  """Returns the config with the tokenizer that the run saved, if it saved one.

  Args:
    config: the config of a run that has a checkpoint.
    workdir: the work directory of the run.
  """
  name = getattr(config.task, "tokenizer", "")
  # the copy of the run: the user's file may have been moved or trained again
  saved_name = trained.kept_name(name, workdir)
  if saved_name == name:
    return config
  task = dataclasses.replace(config.task, tokenizer=saved_name)
  return dataclasses.replace(config, task=task)
