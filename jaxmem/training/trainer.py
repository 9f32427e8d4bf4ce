"""Training, from a config to a report; see `train`.

The carried memory is part of the state and of every checkpoint. With the same config,
mesh, versions and device kind, a run that was killed and resumed, at any moment and any
number of times, has bitwise the state of a run that was not.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jaxmem.core import files, outputs
from jaxmem.core.progress import on_interrupt
from jaxmem.models import pattern
from jaxmem.models.lm import num_params
from jaxmem.parallel import distributed
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.distributed import say
from jaxmem.runtime import compilation
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.runtime.compilation import compiling
from jaxmem.runtime.lock import Lock
from jaxmem.runtime.logs import Log
from jaxmem.runtime.signals import Stop
from jaxmem.tasks import Task
from jaxmem.training import config as configs
from jaxmem.training import report_page, run_task, source_config
from jaxmem.training import resume as resuming
from jaxmem.training import workdir as workdirs
from jaxmem.training.callbacks import Callback, TrainingLog
from jaxmem.training.config import Config
from jaxmem.training.loop import Loop
from jaxmem.training.skips import TrainingError, resume_hint, unreported_message
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program, resolve
from jaxmem.training.validation import Validation

# Exit code of a run that a signal stopped and that the same command resumes.
EXIT_STOPPED = 75
# How a run goes on that a second Ctrl-C ends, and one that it ends in its report.
_CONTINUES = "the same command continues from the last checkpoint, if there is one"
_REPORTS = "the run is complete, and the same command writes its report"


def train(
  config: Config,
  workdir: str | Path,
  resume: str = "auto",
  callbacks: Sequence[Callback] = (),
) -> int:
  """Trains, saves, and reports; the same call continues where the last one ended.

  Args:
    config: the experiment.
    workdir: the directory that everything is written to.
    resume: "auto" continues if there is a checkpoint, "must" raises if there is none,
      "never" raises if there is one.
    callbacks: are called for every step and score; see `Callback`.

  Returns:
    0, or EXIT_STOPPED if a signal stopped the run before its end.

  Raises:
    ConfigError, DataError, MeshError, CapacityError: before any device work.
    CheckpointError: if no checkpoint can be written or read.
    TrainingError: if too many steps in a row, or the last ones, were skipped.
  """
  workdir = Path(workdir)
  # the config: complete it, also from a run that is resumed, and check it
  config = resuming.with_warmup(configs.typed(config), workdir, resume)
  config = resuming.with_source(config, workdir, resume)
  config = workdirs.absolute(resolve(config))
  run_task.check_packages(config)
  source_config.refuse_model_folder(workdir)
  outputs.refuse_workdir(workdir, configs.sources(config))
  config = run_task.complete(config)
  # mesh, model and optimizer: tracing them finds whatever does not fit
  program = Program(config, meshes.make(config.mesh))
  program.check_memory()
  task = run_task.make(resuming.with_tokenizer(config, workdir, resume), program.model)
  return run(program, task, workdir, resume, callbacks)


def run(
  program: Program,
  task: Task,
  workdir: str | Path,
  resume: str = "auto",
  callbacks: Sequence[Callback] = (),
  params: Any = None,
) -> int:
  """Does what `train` does, for a program and a task that are already made.

  Args:
    program: the compiled step; its config is resolved.
    task: the task.
    workdir: see `train`.
    resume: see `train`.
    callbacks: see `train`.
    params: the parameters that a fresh run begins with; None draws them.

  Returns:
    See `train`.

  Raises:
    See `train`.
  """
  config, workdir = program.config, Path(workdir).absolute()
  compilation.use(config.compilation_cache)
  # the log is open until the report, the other files until the end of the loop
  with contextlib.ExitStack() as logs, contextlib.ExitStack() as stack:
    stack.enter_context(on_interrupt(_CONTINUES))
    # no other run may write to this work directory
    if distributed.primary():
      stack.enter_context(Lock(workdir))
    latest = stack.enter_context(Checkpoints(workdir / "checkpoints", config.keep))
    best = stack.enter_context(Checkpoints(workdir / "best", keep=1))
    # the state: that of the last checkpoint, or a fresh one
    with compiling("the initial state"):
      state, start = resuming.restore_or_init(
        program, latest, task.rows, resume, params
      )
    saved = configs.to_json(config)
    if distributed.primary():
      files.write_text(workdir / "config.json", saved)
      source_config.keep(config, workdir)
      task.save_assets(workdir)
    say(_description(program, task, workdir))
    # the loop
    log = Log(workdir, distributed.primary(), config.log.wandb_project)
    logs.enter_context(log).config(json.loads(saved))
    progress = TrainingLog(config, task, log, start)
    stack.callback(progress.close)
    loop = Loop(
      program=program,
      task=task,
      log=log,
      latest=latest,
      validation=Validation(config.validation, task, best),
      stop=stack.enter_context(Stop()),
      callbacks=(progress, *callbacks),
    )
    end = loop.run(state, start)
    if not end.skipped and end.step not in latest.steps():
      loop.save(latest, end.step, end.state)
    latest.wait()
    for callback in loop.callbacks:
      callback.on_end(end.step, end.complete)
    if not end.complete:
      say(f"stopped by {loop.stop.requested} at step {end.step}; {resume_hint(end)}")
      return EXIT_STOPPED
    if end.skipped:
      raise TrainingError(unreported_message(end, latest.steps()))
    weights = _reported_weights(program, end.state, best)
    reported = (best.steps() or [end.step])[-1]
    stack.close()  # from here on Ctrl-C ends the report at once
    with on_interrupt(_REPORTS):
      if distributed.primary():
        report = task.report(weights, workdir)
        description = _description(program, task, workdir)
        report_page.write(workdir, config, description, reported)
        if report:
          log.report(end.step, *report)
  return 0


def _reported_weights(program: Program, state: TrainState, best: Checkpoints) -> Any:
  """Returns the best weights, or those of the last state where none were scored."""
  if best.steps():  # a run shorter than `validation.every` has none
    restored = best.restore(program.target())
    say(f"the best held-out score was at step {restored.step}: that is reported")
    state = restored.state
  return distributed.local(program.weights_of(state))


def _description(program: Program, task: Task, workdir: Path) -> str:
  """Returns the lines that a run prints before its first step."""
  config = program.config
  memory = sum(
    a.size * a.dtype.itemsize for a in jax.tree.leaves(program.shapes.memory)
  )
  devices = f"{program.mesh.size} {jax.devices()[0].device_kind}"
  return (
    f"{pattern.show(config.model.pattern)} x {config.model.num_groups}, "
    f"{num_params(program.shapes.params):,} parameters, "
    f"{memory // config.task.batch_size:,} bytes of memory a row, "
    f"{config.model.dtype}\n"
    f"{task.describe()}, {config.task.batch_size} lanes x "
    f"{config.task.segment_length} tokens, on {devices}\n"
    f"writing to {workdir}"
  )
