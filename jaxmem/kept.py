"""What a work directory keeps and knows, so that it can be moved with all it needs."""

import os
from pathlib import Path
from typing import Any

from jaxmem import config as configs
from jaxmem import files, paths
from jaxmem.config import Config

# Ends of a tokenizer's path, and what its copy in the work directory is called.
_COPIES = {".model": "tokenizer.model", "tokenizer.json": "tokenizer.json"}


def absolute(config: Config) -> Config:
  """The config with absolute paths, so that it means the same from everywhere."""
  config = configs.with_paths(config, paths.absolute)
  directory = getattr(config.data, "data_dir", "")
  if not directory:
    return config
  place = os.path.abspath(os.path.expanduser(directory))
  return configs.with_values(config, {"data.data_dir": place})


def keep_tokenizer(config: Config, workdir: Path) -> None:
  """Copies the tokenizer's file into the work directory, where there is one.

  A `.gguf`, which holds a whole model, stays where it is.
  """
  name = getattr(config.data, "tokenizer", "")
  source, copy = Path(name).expanduser(), _copy(name, workdir)
  if copy is None or not source.is_file():
    return
  if not (copy.exists() and copy.samefile(source)):
    files.write_bytes(copy, source.read_bytes())


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
  """The config with the tokenizer's copy in the work directory, where there is one."""
  copy = _copy(getattr(config.data, "tokenizer", ""), workdir)
  if copy is None or not copy.is_file():
    return config
  return configs.with_values(config, {"data.tokenizer": str(copy)})


def _copy(name: str, workdir: Path) -> Path | None:
  for end, copy in _COPIES.items():
    if name.endswith(end):
      return workdir / copy
  return None
