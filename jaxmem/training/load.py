"""Loads a trained model from its checkpoint alone."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.models.loaded import Loaded
from jaxmem.parallel import mesh as meshes
from jaxmem.runtime.checkpoint import CheckpointError, Checkpoints, read_meta
from jaxmem.runtime.compilation import compiling
from jaxmem.tokenizers import trained
from jaxmem.training import workdir as workdirs
from jaxmem.training.config import Config
from jaxmem.training.step import Program, resolve

# Which checkpoint is read: the latest, or that with the best held-out score.
Which = Literal["last", "best"]
# The kind of task whose runs are language models of text.
TEXT = "language_modeling"
_DIRECTORIES = {"last": "checkpoints", "best": "best"}


class Run(NamedTuple):
  """A run of any kind, read from its checkpoint.

  Attributes:
    config: the config of the run, resolved.
    model: see `models.TrainableModel`.
    params: its parameters, or their moving average where the run keeps one, on the
      default device.
    step: the step of the checkpoint.
  """

  config: Config
  model: Any
  params: Any
  step: int


def run_config(workdir: str | Path, which: Which = "last") -> Config:
  """Reads the config of the run in `workdir` from its checkpoint; does no device work.

  Its tokenizer is the copy that the run kept, so that ids keep their meaning even if
  the original file or the training text has changed.

  Args:
    workdir: the work directory of the run.
    which: "last", or "best", which is the best on held-out data.

  Raises:
    UserError: if there is no checkpoint.
  """
  workdir = Path(workdir)
  try:
    meta = read_meta(workdir.absolute() / _DIRECTORIES[which])
  except CheckpointError as error:
    best = "; only a run with --validation.every has a best one"
    raise UserError(
      f"no checkpoint of a run in {workdir / _DIRECTORIES[which]}: give the --workdir "
      f"of `jaxmem train`{best if which == 'best' else ''}"
    ) from error
  config = workdirs.saved_config(meta, workdir.absolute())
  return resolve(workdirs.with_kept_tokenizer(config, workdir.absolute()))


def load_config(workdir: str | Path, which: Which = "last") -> Config:
  """Reads the config of the language model in `workdir`; does no device work.

  Args:
    workdir: see `run_config`.
    which: see `run_config`.

  Raises:
    UserError: if there is no checkpoint, or it is of another kind of run.
  """
  config = run_config(workdir, which)
  if tasks.kind(config.task) != TEXT:
    raise UserError(
      f"the run in {workdir} learned {config.task.source}, and reads no text: give the "
      "--workdir of a language model"
    )
  return config


def load_run(workdir: str | Path, which: Which = "last") -> Run:
  """Loads the newest undamaged checkpoint, and verifies its parameters.

  The directory is only read, so the run may still be running: nothing in it is made,
  moved or cleaned, and neither optimizer nor training memory is loaded.

  Args:
    workdir: the work directory of the run.
    which: "last", or "best", which is the best on held-out data.

  Raises:
    UserError: if there is no checkpoint.
    CheckpointError: if none is whole.
  """
  config = run_config(workdir, which)
  mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
  # without an optimizer, which may be a function that only the run's own file has
  program = Program(config, mesh, trains=False)
  directory = Path(workdir).absolute() / _DIRECTORIES[which]
  with (
    Checkpoints(directory, config.keep, read_only=True) as checkpoints,
    compiling("the verification of the weights"),
  ):
    restored = checkpoints.restore(program.target(), only=program.weights)
  # off the mesh: a caller's plain jnp.zeros are placed otherwise than arrays on a mesh,
  # and its function would be compiled once for these and again for what it returns
  params = jax.device_put(jax.device_get(program.weights_of(restored.state)))
  return Run(config, program.model, params, restored.step)


def load_model(workdir: str | Path, which: Which = "last") -> Loaded:
  """Loads the language model of a run; see `load_run`.

      loaded = load_model("runs/quickstart")
      logits, state = loaded.model.apply({"params": loaded.params}, tokens, state)

  `jaxmem.load` gives the same with methods, and runs of other kinds.

  Args:
    workdir: see `load_run`.
    which: see `load_run`.

  Raises:
    UserError: if there is no checkpoint, or it is of another kind of run.
    CheckpointError: if none is whole.
  """
  config = load_config(workdir, which)
  run = load_run(workdir, which)
  task: Any = config.task  # that of a language model
  tokenizer = trained.kept(task.tokenizer, workdir)
  return Loaded(run.config, run.model, run.params, tokenizer, run.step)
