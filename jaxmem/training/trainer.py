"""Training: config, mesh, data, model, optimizer, shardings, state, loop, report.

The carried memory is part of the state and of every checkpoint. The promise: with the
same config, mesh, versions and device kind, a run that was killed and resumed, at any
moment and any number of times, has bitwise the state of one that was not.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem import data
from jaxmem.core import files, outputs, paths
from jaxmem.core.errors import ConfigError, RunError
from jaxmem.models import pattern
from jaxmem.models.lm import num_params
from jaxmem.parallel import distributed
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.distributed import say
from jaxmem.runtime.checkpoint import CheckpointError, Checkpoints, read_meta
from jaxmem.runtime.lock import Lock
from jaxmem.runtime.logs import Log, Progress, key_of
from jaxmem.runtime.signals import Stop
from jaxmem.tasks import Job
from jaxmem.tokenizers import trained
from jaxmem.training import config as configs
from jaxmem.training import init_from, task
from jaxmem.training import workdir as kept
from jaxmem.training.config import Config
from jaxmem.training.step import Program, TrainState, resolve
from jaxmem.training.validation import Validation

# Exit code of a run that was asked to stop and can go on: the same command resumes it.
EXIT_STOPPED = 75
_REMEDY = "lower --optim.learning-rate or look at the rows in ledger.jsonl"


class TrainingError(RunError):
  """The run cannot go on; the last checkpoint is good."""


def train(config: Config, workdir: Path, resume: str = "auto") -> int:
  """Trains, saves, and reports; the same call goes on where the last one ended.

  Args:
    config: the experiment.
    workdir: where everything is written.
    resume: "auto" goes on if there is a checkpoint, "must" raises if there is none,
      "never" raises if there is one.

  Returns:
    0, or EXIT_STOPPED if a signal stopped the run before its end.

  Raises:
    ConfigError, DataError, MeshError, CapacityError: before any device work.
    CheckpointError: if no checkpoint can be written or read.
    TrainingError: if too many steps in a row, or the last ones, had to be skipped.
  """
  config = kept.absolute(resolve(config))
  task.check_packages(config)
  outputs.refuse_workdir(workdir, configs.sources(config))
  mesh = meshes.make(config.mesh)
  program = Program(config, mesh)
  program.check_memory()
  job = task.make(_going_on(config, workdir, resume), program.model)

  workdir = workdir.absolute()
  with contextlib.ExitStack() as stack:
    if distributed.primary():
      stack.enter_context(Lock(workdir))
    latest = stack.enter_context(Checkpoints(workdir / "checkpoints", config.keep))
    best = stack.enter_context(Checkpoints(workdir / "best", keep=1))
    state, start = _first_state(program, latest, job.rows, resume)
    if distributed.primary():
      files.write_text(workdir / "config.json", configs.to_json(config))
      job.keep(workdir)
    say(_introduction(program, job, workdir))
    run = Run(
      program=program,
      job=job,
      log=stack.enter_context(contextlib.closing(Log(workdir, distributed.primary()))),
      latest=latest,
      validation=Validation(config.validation, job, best),
      stop=stack.enter_context(Stop()),
    )
    end = run.loop(state, start)
    if not end.skipped and end.step not in latest.steps():
      run.save(latest, end.step, end.state)
    latest.wait()
    if not end.complete:
      say(f"stopped by {run.stop.requested} at step {end.step}; {_goes_on(end)}")
      return EXIT_STOPPED
    if end.skipped:
      raise TrainingError(_not_reported(end, latest.steps()))
    state = end.state
    weights = getattr(state, program.weights)
    if best.steps():  # none where the run is shorter than the way to a score
      found = best.restore(program.target())
      say(f"the best held-out score was at step {found.step}: that is reported")
      weights = getattr(found.state, program.weights)
    weights = distributed.local(weights)
  if distributed.primary():
    job.report(weights, workdir)
  return 0


class End(NamedTuple):
  """Where a loop of steps ended.

  Attributes:
    state: after the last step.
    step: how many steps the run has made.
    complete: whether it is the end of the run, not a signal's.
    skipped: how many of the last steps in a row were skipped.
  """

  state: TrainState
  step: int
  complete: bool
  skipped: int


@dataclasses.dataclass
class Run:
  """A run on its way: what the loop needs besides the state.

  Attributes:
    program: the compiled step.
    job: its batches and its score.
    log: where numbers go.
    latest: the checkpoints that the run goes on from.
    validation: held-out scores, and the best checkpoint.
    stop: whether somebody asked the run to stop.
  """

  program: Program
  job: Job
  log: Log
  latest: Checkpoints
  validation: Validation
  stop: Stop

  def loop(self, state: TrainState, start: int) -> End:
    """Steps until the end of the run or a signal.

    A checkpoint is written only behind a step that counted: what a run goes on from is
    never a state at which training has come to a halt.

    Raises:
      TrainingError: if too many steps in a row had to be skipped.
    """
    config, validation = self.program.config, self.validation
    tokens = config.data.batch_size * config.data.segment_length
    show = distributed.primary()
    progress = Progress(start, config.steps, tokens, self.job.measure, show)
    step, skipped, waiting, shown = start, 0, [], []
    enough = config.validation.every and validation.exhausted(state.best)
    with contextlib.closing(data.batches(self.job.rows, start)) as batches:
      while step < config.steps and not enough:
        batch = next(batches)
        self.log.rows(step, batch["rows"])
        state, metrics = self.program.step(state, self.program.put(batch))
        waiting.append(metrics)
        step += 1
        log_now = step % config.log_every == 0 or step == config.steps
        save_now = step % config.save_every == 0
        if log_now or save_now:
          fetched, waiting = jax.device_get(waiting), []  # the only wait for the device
          skipped = _count_skips(fetched, skipped, step, config)
          shown += fetched
        if log_now:
          self._report(step, shown, progress)
          shown = []
        if validation.due(step):
          state = self._validate(step, state)
          enough = validation.exhausted(state.best)
        if save_now and not skipped:
          self.save(self.latest, step, state)
        if self.stop.after(step):
          break
    progress.close()
    skipped = _count_skips(jax.device_get(waiting), skipped, step, config)
    if enough:
      say(
        f"stopped early at step {step}: the last {config.validation.patience} scores "
        "of held-out text were not better than one before"
      )
    return End(state, step, bool(enough) or step >= config.steps, skipped)

  def _report(self, step: int, fetched: list[dict], progress: Progress) -> None:
    """The means of an interval, to the log and the terminal."""
    good = [m["loss"] for m in fetched if not m["skipped"]]
    loss = float(np.mean(good or [np.nan]))
    value = self.job.value(loss)
    rate = progress.update(step, loss, value)
    numbers = {
      "loss": loss,
      "grad_norm": float(fetched[-1]["grad_norm"]),
      key_of(self.job.measure): value,
      "skipped": sum(int(m["skipped"]) for m in fetched),
      "tokens_per_second": rate,
    }
    self.log.scalars(step, numbers)
    self.latest.check()  # a full disk is said now, not at the end

  def _validate(self, step: int, state: TrainState) -> TrainState:
    """Scores held-out text; the state knows the result and is otherwise the same."""
    score = self.validation.score(getattr(state, self.program.weights))
    best, better = self.validation.compare(score, step, state.best)
    best = jax.device_put(best, self.program.shardings.best)
    state = state._replace(best=best)
    if better:
      self.validation.keep(step, lambda into: self.save(into, step, state))
    measure = self.job.measure
    self.log.scalars(step, {f"heldout_{key_of(measure)}": float(score)})
    if better:
      known = "the best so far"
    elif int(best.step):
      known = f"best {float(best.bits_per_byte):.3f}"
    else:
      known = "none is finite so far"
    say(f"step {step:>6}  held out {score:.3f} {measure}, {known}")
    return state

  def save(self, checkpoints: Checkpoints, step: int, state: Any) -> None:
    """Starts writing the state, the position in the data and the config."""
    tokenizer, fingerprint = self.job.rows.tokenizer, self.job.rows.fingerprint
    position = {"step": step, "fingerprint": fingerprint, "tokenizer": tokenizer}
    meta = {
      "config": configs.to_json(self.program.config),
      "jax": jax.__version__,
      "workdir": str(checkpoints.directory.parent),
    }
    checkpoints.save(step, state, position, meta)


def _count_skips(fetched: list[dict], before: int, step: int, config: Config) -> int:
  """How many of the latest steps in a row were skipped.

  Raises:
    TrainingError: if they are too many.
  """
  run = before
  for i, metrics in enumerate(fetched):
    run = run + 1 if metrics["skipped"] else 0
    if metrics["skipped"]:
      at = step - len(fetched) + i
      say(
        f"step {at}: loss, gradient or update not finite, skipped; rows in ledger.jsonl"
      )
    if run >= config.stop_after_skips:
      raise TrainingError(
        f"{run} steps in a row had a loss, gradient or update that is not finite, the "
        f"last one step {step - len(fetched) + i}; the last checkpoint is good: "
        f"{_REMEDY}"
      )
  return run


def _goes_on(end: End) -> str:
  """What a run that was stopped says of its next start."""
  if not end.skipped:
    return "the same command goes on"
  return (
    f"its last {end.skipped} steps were skipped and not saved; the same command goes "
    "on before them"
  )


def _not_reported(end: End, saved: list[int]) -> str:
  """Why a run ends without a report: its last steps did not count."""
  first, last = end.step - end.skipped, end.step - 1
  steps = f"last step, {last}," if first == last else f"last steps, {first} to {last},"
  last = f"the last checkpoint is of step {saved[-1]}" if saved else "no state is saved"
  return (
    f"the {steps} had a loss, gradient or update that is not finite and did not count; "
    f"nothing is reported, {last}: {_REMEDY}"
  )


def _going_on(config: Config, workdir: Path, resume: str) -> Config:
  """The config with the tokenizer that the run made when it began, if it has begun."""
  if resume == "never" or not trained.is_made(getattr(config.data, "tokenizer", "")):
    return config
  try:
    meta = read_meta(workdir.absolute() / "checkpoints")
  except CheckpointError:
    return config
  begun = configs.from_json(meta["config"])
  same = getattr(begun.data, "tokenizer", "") == config.data.tokenizer
  return kept.with_kept_tokenizer(config, workdir) if same else config


def _first_state(program, checkpoints, rows, resume):
  """The state to start from and its step: a checkpoint's, or a fresh one."""
  found = checkpoints.steps()
  if resume == "must" and not found:
    raise CheckpointError(f"--resume must: no checkpoint in {checkpoints.directory}")
  if resume == "never" and found:
    raise CheckpointError(
      f"--resume never: {checkpoints.directory} has a checkpoint of step {found[-1]}; "
      "choose another --workdir"
    )
  if not found:
    state = program.init()
    if program.config.start_from:
      state = init_from.begin(program, state)
    return state, 0
  meta = read_meta(checkpoints.directory)
  saved = kept.absolute(kept.saved_config(meta, checkpoints.directory.parent))
  changed = configs.changes(saved, program.config)
  # what lies elsewhere now may be named so: its content is compared below
  for key in configs.PATHS:
    if key in changed and paths.lost(changed[key][0]):
      del changed[key]
  if changed:
    lines = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed.items()]
    raise ConfigError(
      f"the run in {checkpoints.directory.parent} was started with another config "
      f"({'; '.join(lines)}): restore these, or choose another --workdir"
    )
  restored = checkpoints.restore(program.target())
  for step, why in restored.set_aside.items():
    say(f"checkpoint of step {step} is damaged and was set aside: {why}")
  if restored.data["fingerprint"] != rows.fingerprint:
    other = restored.data["tokenizer"] != rows.tokenizer
    named = getattr(program.config.data, "tokenizer", "")
    what = f"tokenizer {named}" if other else "data"
    raise ConfigError(
      f"the {what} is not what step {restored.step} was trained on (fingerprint "
      f"{rows.fingerprint[:12]}, was {restored.data['fingerprint'][:12]}): give the "
      "same files, or choose another --workdir"
    )
  say(f"resumed from step {restored.step}")
  return restored.state, restored.step


def _introduction(program: Program, job: Job, workdir: Path) -> str:
  config = program.config
  memory = sum(
    a.size * a.dtype.itemsize for a in jax.tree.leaves(program.shapes.memory)
  )
  devices = f"{program.mesh.size} {jax.devices()[0].device_kind}"
  return (
    f"{pattern.show(config.model.pattern)} x {config.model.num_groups}, "
    f"{num_params(program.shapes.params):,} parameters, "
    f"{memory // config.data.batch_size:,} bytes of memory a row, "
    f"{config.model.dtype}\n"
    f"{job.introduction()}, {config.data.batch_size} lanes x "
    f"{config.data.segment_length} tokens, on {devices}\n"
    f"writing to {workdir}"
  )
