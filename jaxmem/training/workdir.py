"""What a work directory keeps and knows, so that it can be moved with all it needs."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from jaxmem.core import paths
from jaxmem.tokenizers import trained
from jaxmem.training import config as configs
from jaxmem.training.config import Config


def absolute(config: Config) -> Config:
  """The config with absolute paths, so that it means the same from everywhere."""
  config = configs.with_paths(config, paths.absolute)
  directory = getattr(config.task, "data_dir", "")
  if not directory:
    return config
  place = os.path.abspath(os.path.expanduser(directory))
  return configs.with_values(config, {"task.data_dir": place})


def saved_config(meta: dict[str, Any], workdir: Path) -> Config:
  """The config of a checkpoint, its paths followed where the run was moved with them.

  Args:
    meta: of the checkpoint.
    workdir: where the run is now, absolute.

  Raises:
    ConfigError: if the config cannot be read.
  """
  config = configs.from_json(meta["config"])
  before = meta.get("workdir", "")
  follow = lambda text: paths.moved(text, before, str(workdir))
  return configs.with_paths(config, follow) if before else config


def with_kept_tokenizer(config: Config, workdir: Path) -> Config:
  """The config of a run with the name of the tokenizer that the run kept, if it did.

  Args:
    config: of a run that has a checkpoint.
    workdir: of the run.
  """
  name = getattr(config.task, "tokenizer", "")
  kept = trained.kept_name(name, workdir)
  reading = dataclasses.replace(config.task, tokenizer=kept) if kept != name else None
  return dataclasses.replace(config, task=reading) if reading else config
