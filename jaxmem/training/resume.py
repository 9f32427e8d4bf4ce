"""Resuming: what a run began with, and the state of its last checkpoint."""

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
from jaxmem.training import init_from
from jaxmem.training import workdir as kept
from jaxmem.training.config import Config
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program


def with_warmup(config: Config, workdir: Path, resume: str) -> Config:
  """Takes the warm-up from the run that has begun, where the config names none itself.

  The default depends on the number of steps, so a run that is made longer would else
  continue with other learning rates.

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
  # another tokenizer stays as it is: `first_state` refuses it as a change of the config
  same = getattr(saved.task, "tokenizer", "") == config.task.tokenizer
  return kept.with_kept_tokenizer(config, workdir) if same else config


def first_state(
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
    CheckpointError: if no checkpoint can be read, or `resume` forbids to begin or to
      continue.
    ConfigError: if the run was started with another config or other data.
  """
  # what `resume` allows, given the checkpoints there are
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
      state = init_from.begin(program, state)
    return state, 0
  # the config that the run was started with
  meta = read_meta(checkpoints.directory)
  saved = kept.absolute(kept.saved_config(meta, checkpoints.directory.parent))
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
  # the state, and the data that it was trained on
  restored = checkpoints.restore(program.target())
  for step, why in restored.set_aside.items():
    say(f"checkpoint of step {step} is damaged and was set aside: {why}")
  # batches are a function of the step, so equal data continue exactly where they ended
  if restored.data["fingerprint"] != rows.fingerprint:
    other = restored.data["tokenizer"] != rows.tokenizer
    named = getattr(program.config.task, "tokenizer", "")
    culprit = f"tokenizer {named}" if other else "data"
    raise ConfigError(
      f"the {culprit} is not what step {restored.step} was trained on (fingerprint "
      f"{rows.fingerprint[:12]}, was {restored.data['fingerprint'][:12]}): give the "
      "same files, or choose another --workdir"
    )
  say(f"resumed from step {restored.step}")
  return restored.state, restored.step
