"""Training: config, mesh, data, model, optimizer, shardings, state, loop, report.

The carried memory is part of the state and of every checkpoint. The promise: with the
same config, mesh, versions and device kind, a run that was killed and resumed, at any
moment and any number of times, has bitwise the state of one that was not.
"""

import contextlib
import functools
import signal
from pathlib import Path

import jax
import numpy as np

from jaxmem import config as configs
from jaxmem import data, report
from jaxmem.checkpoint import CheckpointError, Checkpoints, read_meta
from jaxmem.config import Config, ConfigError
from jaxmem.errors import RunError
from jaxmem.lock import Lock
from jaxmem.logs import Log, Progress
from jaxmem.models.lm import num_params
from jaxmem.modules import pattern
from jaxmem.parallel import mesh as meshes
from jaxmem.program import Program, resolve

# Exit code of a run that was asked to stop and can go on: the same command resumes it.
EXIT_STOPPED = 75


class TrainingError(RunError):
  """The run cannot go on; the last checkpoint is good."""


class Stop:
  """SIGTERM and Ctrl-C ask the loop to stop after the step; a second one kills."""

  def __init__(self):
    self.requested = None

  def __enter__(self) -> "Stop":
    self._old = {
      s: signal.signal(s, self._ask) for s in (signal.SIGTERM, signal.SIGINT)
    }
    return self

  def _ask(self, number, frame):
    self.requested = signal.Signals(number).name
    for each, old in self._old.items():
      signal.signal(each, old)

  def __exit__(self, *exception: object) -> None:
    for each, old in self._old.items():
      signal.signal(each, old)


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
    ConfigError, DataError, MeshError: before any device work.
    CheckpointError: if no checkpoint can be written or read.
    TrainingError: if the loss stays without a finite value.
  """
  config = resolve(config)
  mesh = meshes.make(config.mesh)
  program = Program(config, mesh)
  tokenizer = data.tokenizers.get(config.data.tokenizer)
  c = config.data
  corpus = data.prepare(c.source, c.heldout, c.data_dir or None)
  stream = data.TokenStream.from_corpus(corpus, tokenizer, "train")
  processes = (jax.process_index(), jax.process_count())
  lanes = data.Lanes(stream, c.batch_size, c.segment_length, config.seed, *processes)

  primary = jax.process_index() == 0
  workdir = workdir.absolute()
  with contextlib.ExitStack() as stack:
    if primary:
      stack.enter_context(Lock(workdir))
    checkpoints = stack.enter_context(Checkpoints(workdir / "checkpoints", config.keep))
    state, start = _first_state(program, checkpoints, lanes, resume)
    if primary:
      (workdir / "config.json").write_text(configs.to_json(config))
      print(_introduction(config, program, stream, workdir), flush=True)
    log = stack.enter_context(contextlib.closing(Log(workdir, primary)))
    stop = stack.enter_context(Stop())
    batches = stack.enter_context(data.batches(lanes, start))
    save = functools.partial(_save, checkpoints, config, lanes)
    state, step = _loop(
      program, state, start, batches, log, checkpoints, save, stop, stream
    )
    if step not in checkpoints.steps():
      save(step, state)
    checkpoints.wait()
    if step < config.steps:
      if primary:
        print(f"stopped by {stop.requested} at step {step}; the same command goes on")
      return EXIT_STOPPED
  if primary:
    report.write(config, program.model, state.params, corpus, tokenizer, workdir)
  return 0


def _loop(program, state, start, batches, log, checkpoints, save, stop, stream):
  """Steps until the end or a signal; returns the state and its number of steps."""
  config = program.config
  tokens = config.data.batch_size * config.data.segment_length
  progress = Progress(start, config.steps, tokens, jax.process_index() == 0)
  bits = 1 / stream.bytes_per_token / np.log(2)
  step, skipped = start, 0
  waiting: list[dict] = []
  while step < config.steps and not stop.requested:
    batch = next(batches)
    log.rows(step, batch["rows"])
    state, metrics = program.step(state, program.put(batch))
    waiting.append(metrics)
    step += 1
    if step % config.log_every == 0 or step == config.steps:
      fetched = jax.device_get(waiting)  # the only wait for the device
      skipped = _count_skips(fetched, skipped, step, config)
      numbers = {key: float(fetched[-1][key]) for key in ("loss", "grad_norm")}
      good = [m["loss"] for m in fetched if not m["skipped"]]
      numbers["loss"] = float(np.mean(good or [np.nan]))
      numbers["bits_per_byte"] = numbers["loss"] * bits
      numbers["skipped"] = sum(int(m["skipped"]) for m in fetched)
      rate = progress.update(step, numbers["loss"], numbers["bits_per_byte"])
      log.scalars(step, numbers | {"tokens_per_second": rate})
      checkpoints.check()  # a full disk is said now, not at the end
      waiting = []
    if step % config.save_every == 0 and not skipped:
      save(step, state)
  progress.close()
  return state, step


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
      print(f"step {at}: loss or gradient not finite, skipped; rows in ledger.jsonl")
    if run >= config.stop_after_skips:
      raise TrainingError(
        f"{run} steps in a row had a loss or gradient that is not finite, the last one "
        f"step {step - len(fetched) + i}; the last checkpoint is good: lower "
        "--optim.learning-rate or look at the rows in ledger.jsonl"
      )
  return run


def _first_state(program, checkpoints, lanes, resume):
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
    return program.init(), 0
  meta = read_meta(checkpoints.directory)
  changed = configs.changes(configs.from_json(meta["config"]), program.config)
  if changed:
    lines = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed.items()]
    raise ConfigError(
      f"the run in {checkpoints.directory.parent} was started with another config "
      f"({'; '.join(lines)}): restore these, or choose another --workdir"
    )
  restored = checkpoints.restore(program.target())
  for step, why in restored.set_aside.items():
    print(f"checkpoint of step {step} is damaged and was set aside: {why}", flush=True)
  if restored.data["fingerprint"] != lanes.fingerprint:
    other = restored.data["tokenizer"] != lanes.stream.tokenizer
    what = f"tokenizer {program.config.data.tokenizer}" if other else "data"
    raise ConfigError(
      f"the {what} is not what step {restored.step} was trained on (fingerprint "
      f"{lanes.fingerprint[:12]}, was {restored.data['fingerprint'][:12]}): give the "
      "same files, or choose another --workdir"
    )
  print(f"resumed from step {restored.step}", flush=True)
  return restored.state, restored.step


def _save(checkpoints, config, lanes, step, state):
  tokenizer = lanes.stream.tokenizer
  position = {"step": step, "fingerprint": lanes.fingerprint, "tokenizer": tokenizer}
  meta = {"config": configs.to_json(config), "jax": jax.__version__}
  checkpoints.save(step, state, position, meta)


def _introduction(config: Config, program: Program, stream, workdir: Path) -> str:
  memory = sum(
    a.size * a.dtype.itemsize for a in jax.tree.leaves(program.shapes.memory)
  )
  devices = f"{program.mesh.size} {jax.devices()[0].device_kind}"
  return (
    f"{pattern.show(config.model.pattern)} x {config.model.num_groups}, "
    f"{num_params(program.shapes.params):,} parameters, "
    f"{memory // config.data.batch_size:,} bytes of memory a row, "
    f"{config.model.dtype}\n"
    f"{stream.num_documents:,} documents, {stream.num_bytes:,} bytes from "
    f"{config.data.source!r}, {config.data.batch_size} lanes x "
    f"{config.data.segment_length} tokens, on {devices}\n"
    f"writing to {workdir}"
  )
