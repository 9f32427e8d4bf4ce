"""Resuming: the settings that a run began with, and the state of its checkpoint."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxmem.core import paths
from jaxmem.core.errors import ConfigError
from jaxmem.parallel.distributed import say
from jaxmem.runtime.checkpoint import CheckpointError, Checkpoints, read_meta
from jaxmem.tasks import Rows
from jaxmem.tokenizers import trained
from jaxmem.training import config as configs
from jaxmem.training import init_from, source_config
from jaxmem.training import workdir as workdirs
from jaxmem.training.config import Config
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program


def with_warmup(config: Config, workdir: Path, resume: str) -> Config:
  """Takes the warm-up from the run that has begun, where the config names none itself.

  The default depends on the number of steps: without this a run that is made longer
  would continue with other learning rates.

  Args:
    config: the config as the user gave it.
    workdir: the work directory.
    resume: see `trainer.train`.
  """
  saved = None if config.optim.warmup_steps >= 0 else _saved_config(workdir, resume)
  if saved is None:
    return config
  optim = dataclasses.replace(config.optim, warmup_steps=saved.optim.warmup_steps)
  return dataclasses.replace(config, optim=optim)


def with_source(config: Config, workdir: Path, resume: str) -> Config:
  """Takes the sizes of a pretrained model from the run that has begun with them.

  The run goes on where the pretrained model, and its tokenizer, have gone.

  Args:
    config: the config as the user gave it.
    workdir: the work directory.
    resume: see `trainer.train`.
  """
  saved = _saved_config(workdir, resume) if config.init_from else None
  return source_config.from_begun(config, saved, workdir) if saved else config


def _saved_config(workdir: Path, resume: str) -> Config | None:
  """Reads the config of the run that has begun in a directory, if there is one."""
  if resume == "never":
    return None
  try:
    meta = read_meta(workdir.absolute() / "checkpoints")
  except CheckpointError:
    return None
  return configs.from_json(meta["config"])


def with_tokenizer(config: Config, workdir: Path, resume: str) -> Config:
  """Takes the tokenizer that the run made when it began, if it has begun.

  Args:
    config: the resolved config.
    workdir: the work directory.
    resume: see `trainer.train`.
  """
  if not trained.is_made(getattr(config.task, "tokenizer", "")):
    return config
  saved = _saved_config(workdir, resume)
  if saved is None:
    return config
  # another tokenizer stays as it is: `restore_or_init` refuses the changed config
  same = getattr(saved.task, "tokenizer", "") == config.task.tokenizer
  return workdirs.with_kept_tokenizer(config, workdir) if same else config


def restore_or_init(
  program: Program,
  checkpoints: Checkpoints,
  rows: Rows,
  resume: str,
  params: Any = None,
) -> tuple[TrainState, int]:
  """Restores the last checkpoint, or makes a fresh state.

  Args:
    program: the compiled step of the run.
    checkpoints: the checkpoints of the run.
    rows: the batches of the run.
    resume: see `trainer.train`.
    params: the parameters that a fresh state begins with; None draws them, or takes
      `init_from`.

  Returns:
    The state, and how many steps it has made.

  Raises:
    CheckpointError: if no checkpoint can be read, or `resume` forbids a new run or one
      that continues.
    ConfigError: if the run was started with another config or other data.
  """
  # refuse what `resume` forbids
  steps = checkpoints.steps()
  if resume == "must" and not steps:
    raise CheckpointError(f"--resume must: no checkpoint in {checkpoints.directory}")
  if resume == "never" and steps:
    raise CheckpointError(
      f"--resume never: {checkpoints.directory} has a checkpoint of step {steps[-1]}; "
      "choose another --workdir"
    )
  if not steps:
    state = program.init(params)
    if program.config.init_from:
      state = init_from.warm_start(program, state)
    return state, 0
  # the config must be the one that the run was started with
  meta = read_meta(checkpoints.directory)
  saved = workdirs.absolute(workdirs.saved_config(meta, checkpoints.directory.parent))
  changed = configs.changes(saved, program.config)
  # a file that was moved may be named by its new path: its content is compared below
  for key in configs.PATHS:
    if key in changed and paths.lost(changed[key][0]):
      del changed[key]
  if changed:
    lines = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed.items()]
    raise ConfigError(
      f"the run in {checkpoints.directory.parent} was started with another config "
      f"({'; '.join(lines)}): restore these, or choose another --workdir"
    )
  # restore the state; the data must be those that it was trained on
  restored = checkpoints.restore(program.target())
  for step, reason in restored.set_aside.items():
    say(f"checkpoint of step {step} is damaged and was set aside: {reason}")
  # batches are a function of the step, so equal data continue exactly where they ended
  if restored.data["fingerprint"] != rows.fingerprint:
    tokenizer = getattr(program.config.task, "tokenizer", "")
    tokenizer_differs = restored.data["tokenizer"] != rows.tokenizer
    culprit = f"tokenizer {tokenizer}" if tokenizer_differs else "data"
    raise ConfigError(
      f"the {culprit} is not what step {restored.step} was trained on (fingerprint "
      f"{rows.fingerprint[:12]}, was {restored.data['fingerprint'][:12]}): give the "
      "same files, or choose another --workdir"
    )
  say(f"resumed from step {restored.step}")
  return restored.state, restored.step
