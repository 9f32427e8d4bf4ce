"""The config of a run that begins from a pretrained model: its sizes are not restated.

    config = completed(Config(LMConfig(0), DataConfig(), init_from="models/qwen3"))
    config.model.num_groups, config.task.tokenizer  # those of the folder

A model is left open if its `vocab_size` is 0 and `init_from` is an address of
`interop.addresses`. Its fields that have their default are then those of the pretrained
model, and so is `task.tokenizer`. What has been completed is saved whole, so that a run
is loaded, and continued, without the folder.
"""

import dataclasses
from pathlib import Path
from typing import Any

from jaxmem.core import files, paths
from jaxmem.core.errors import ConfigError, DataError, UserError
from jaxmem.interop import addresses, memories, pretrained
from jaxmem.models import capacity
from jaxmem.models.lm import LMConfig
from jaxmem.tokenizers import trained
from jaxmem.training import workdir as workdirs
from jaxmem.training.config import Config

# The settings of the pretrained model, in the work directory of its run.
SETTINGS_FILE = "init_from.json"
# The tokenizer that a package has under the name of its model.
_NAMED = ("minilm",)


def completed(config: Config) -> Config:
  """Returns the config with the model and the tokenizer that `init_from` has.

  Args:
    config: of the experiment; one whose model is not left open is returned as it is.

  Raises:
    ConfigError: if the task reads another kind of model, or the tokenizer is not that
      of the model.
    DataError: if the pretrained model cannot be read.
  """
  if not (_is_open(config) and addresses.is_address(config.init_from)):
    return config
  source = pretrained.config_of(addresses.find(config.init_from))
  if type(source) is not type(config.model):
    raise ConfigError(
      f"init_from {config.init_from!r} has a {type(source).__name__}, and model is "
      f"{type(config.model).__name__}: take a config of another task"
    )
  config = _merged(config, source, tokenizer_name(config.init_from))
  _check_tokenizer(config)
  return config


def from_begun(config: Config, saved: Config, workdir: Path) -> Config:
  """Returns the config completed by that of the run which it continues.

  Args:
    config: of the experiment, as the user gave it.
    saved: the config of the run that has begun.
    workdir: of the run.
  """
  a_run = Path(config.init_from).is_dir() and not addresses.is_address(config.init_from)
  if not _is_open(config) or a_run or type(saved.model) is not type(config.model):
    return config
  config = _merged(config, saved.model, getattr(saved.task, "tokenizer", ""))
  if paths.lost(getattr(config.task, "tokenizer", "")):
    return workdirs.with_kept_tokenizer(config, workdir.absolute())
  return config


def refuse_model_folder(workdir: str | Path) -> None:
  """Raises UserError if a run would overwrite the folder of a pretrained model."""
  if Path(workdir).is_dir() and addresses.is_address(workdir):
    raise UserError(
      f"--workdir {workdir} is the folder of a pretrained model, whose config.json and "
      "tokenizer.json the run would replace: give another directory"
    )


def tokenizer_name(address: str) -> str:
  """Returns the name, in `task.tokenizer`, of the tokenizer of a pretrained model.

  Args:
    address: see `interop.addresses`.
  """
  return address if address in _NAMED else str(addresses.find(address).path.absolute())


def keep(config: Config, workdir: Path) -> None:
  """Writes the settings of the pretrained model into the work directory of its run.

  `jaxmem export` reads them, since a config does not say which of several model types
  that are the same it was.

  Args:
    config: of the run.
    workdir: of the run.
  """
  if config.init_from and addresses.is_address(config.init_from):
    settings = addresses.find(config.init_from).settings
    files.write_json(workdir / SETTINGS_FILE, dict(settings), indent=2)


def _is_open(config: Config) -> bool:
  """Returns whether the sizes of the model are left to what it begins from."""
  return bool(config.init_from) and getattr(config.model, "vocab_size", None) == 0


def _merged(config: Config, source: Any, tokenizer: str) -> Config:
  """Fills the fields that have their default by those of another model."""
  own = _changed(config.model)
  model = dataclasses.replace(source, **own)
  # the state of full attention has the size of its capacity: no longer than the texts
  if isinstance(model, LMConfig) and "pattern" not in own:
    model = capacity.fitted(model, _longest(config))
  task = config.task
  if hasattr(task, "tokenizer") and "tokenizer" not in _changed(task):
    task = dataclasses.replace(task, tokenizer=tokenizer)
  return dataclasses.replace(config, model=model, task=task)


def _changed(config: Any) -> dict[str, Any]:
  """Returns the fields of a config that differ from their defaults."""
  values = {
    f.name: (getattr(config, f.name), f.default) for f in dataclasses.fields(config)
  }
  values.pop("vocab_size", None)
  return {name: value for name, (value, default) in values.items() if value != default}


def _longest(config: Config) -> int:
  """Returns how many tokens of a document a state must hold."""
  if config.segment_start != "carried":  # no state is carried between segments
    return config.task.segment_length
  return getattr(config.task, "document_length", 0) or memories.CAPACITY


def _check_tokenizer(config: Config) -> None:
  """Raises ConfigError if the embedding has no row for an id, or for other ids."""
  name: str = getattr(config.task, "tokenizer", "")
  own = tokenizer_name(config.init_from)
  try:
    made = name == "byte" or trained.is_made(name)
    size = 0 if made or not name else trained.size(name)
  except DataError as error:
    raise DataError(f"{error}; the tokenizer of init_from is {own!r}") from error
  except ValueError as error:
    raise ConfigError(f"task.tokenizer: {error}") from error
  rows = config.model.vocab_size  # type: ignore[attr-defined]
  if made or size > rows:
    ids = "other ids" if made else f"{size:,} ids"
    raise ConfigError(
      f"task.tokenizer {name!r} has {ids}, and the embedding of init_from "
      f"{config.init_from!r} {rows:,} rows: its tokenizer is {own!r}"
    )
