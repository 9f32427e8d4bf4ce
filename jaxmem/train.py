"""Training: config, mesh, data, model, optimizer, shardings, state, loop, report.

The carried memory is part of the state and of every checkpoint. The promise: with the
same config, mesh, versions and device kind, a run that was killed and resumed, at any
moment and any number of times, has bitwise the state of one that was not.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem import capacity, data, report
from jaxmem import config as configs
from jaxmem.checkpoint import CheckpointError, Checkpoints, read_meta
from jaxmem.config import Config, ConfigError
from jaxmem.errors import RunError
from jaxmem.evals.heldout import HeldOut
from jaxmem.lock import Lock
from jaxmem.logs import Log, Progress
from jaxmem.models.lm import num_params
from jaxmem.modules import pattern
from jaxmem.parallel import distributed
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.distributed import say
from jaxmem.program import Program, TrainState, resolve
from jaxmem.stop import Stop
from jaxmem.validation import Validation

# Exit code of a run that was asked to stop and can go on: the same command resumes it.
EXIT_STOPPED = 75


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
  cuts = c.segment_length, c.document_length
  lanes = data.Lanes(stream, c.batch_size, cuts[0], config.seed, *processes, cuts[1])
  heldout = HeldOut(program.model, corpus.heldout, tokenizer, *cuts)
  _check_capacity(config, lanes, heldout)

  workdir = workdir.absolute()
  with contextlib.ExitStack() as stack:
    if distributed.primary():
      stack.enter_context(Lock(workdir))
    latest = stack.enter_context(Checkpoints(workdir / "checkpoints", config.keep))
    best = stack.enter_context(Checkpoints(workdir / "best", keep=1))
    state, start = _first_state(program, latest, lanes, resume)
    if distributed.primary():
      (workdir / "config.json").write_text(configs.to_json(config))
    say(_introduction(config, program, stream, workdir))
    run = Run(
      program=program,
      lanes=lanes,
      log=stack.enter_context(contextlib.closing(Log(workdir, distributed.primary()))),
      latest=latest,
      validation=Validation(config.validation, heldout, best),
      stop=stack.enter_context(Stop()),
    )
    state, step, ended = run.loop(state, start)
    if step not in latest.steps():
      run.save(latest, step, state)
    latest.wait()
    if not ended:
      say(f"stopped by {run.stop.requested} at step {step}; the same command goes on")
      return EXIT_STOPPED
    weights = getattr(state, program.weights)
    if config.validation.every:
      found = best.restore(program.target())
      say(f"the best held-out score was at step {found.step}: that is reported")
      weights = getattr(found.state, program.weights)
    weights = distributed.local(weights)
  if distributed.primary():
    report.write(config, program.model, weights, heldout, tokenizer, workdir)
  return 0


@dataclasses.dataclass
class Run:
  """A run on its way: what the loop needs besides the state.

  Attributes:
    program: the compiled step.
    lanes: the batches.
    log: where numbers go.
    latest: the checkpoints that the run goes on from.
    validation: held-out scores, and the best checkpoint.
    stop: whether somebody asked the run to stop.
  """

  program: Program
  lanes: data.Lanes
  log: Log
  latest: Checkpoints
  validation: Validation
  stop: Stop

  def loop(self, state: TrainState, start: int) -> tuple[TrainState, int, bool]:
    """Steps until the end or a signal: the state, its step, whether it is the end."""
    config, validation = self.program.config, self.validation
    tokens = config.data.batch_size * config.data.segment_length
    progress = Progress(start, config.steps, tokens, distributed.primary())
    step, skipped, waiting = start, 0, []
    enough = config.validation.every and validation.exhausted(state.best)
    with contextlib.closing(data.batches(self.lanes, start)) as batches:
      while step < config.steps and not enough:
        batch = next(batches)
        self.log.rows(step, batch["rows"])
        state, metrics = self.program.step(state, self.program.put(batch))
        waiting.append(metrics)
        step += 1
        if step % config.log_every == 0 or step == config.steps:
          fetched = jax.device_get(waiting)  # the only wait for the device
          skipped = _count_skips(fetched, skipped, step, config)
          self._report(step, fetched, progress)
          waiting = []
        if validation.due(step):
          state = self._validate(step, state)
          enough = validation.exhausted(state.best)
        if step % config.save_every == 0 and not skipped:
          self.save(self.latest, step, state)
        if self.stop.after(step):
          break
    progress.close()
    if enough:
      say(
        f"stopped early at step {step}: the last {config.validation.patience} scores "
        "of held-out text were not better than one before"
      )
    return state, step, bool(enough) or step >= config.steps

  def _report(self, step: int, fetched: list[dict], progress: Progress) -> None:
    """The means of an interval, to the log and the terminal."""
    good = [m["loss"] for m in fetched if not m["skipped"]]
    loss = float(np.mean(good or [np.nan]))
    bits = loss / self.lanes.stream.bytes_per_token / np.log(2)
    rate = progress.update(step, loss, bits)
    numbers = {
      "loss": loss,
      "grad_norm": float(fetched[-1]["grad_norm"]),
      "bits_per_byte": bits,
      "skipped": sum(int(m["skipped"]) for m in fetched),
      "tokens_per_second": rate,
    }
    self.log.scalars(step, numbers)
    self.latest.check()  # a full disk is said now, not at the end

  def _validate(self, step: int, state: TrainState) -> TrainState:
    """Scores held-out text; the state knows the result and is otherwise the same."""
    bits = self.validation.score(getattr(state, self.program.weights))
    best, better = self.validation.compare(bits, step, state.best)
    best = jax.device_put(best, self.program.shardings.best)
    state = state._replace(best=best)
    if better:
      self.validation.keep(step, lambda into: self.save(into, step, state))
    self.log.scalars(step, {"heldout_bits_per_byte": float(bits)})
    known = "the best so far" if better else f"best {float(best.bits_per_byte):.3f}"
    say(f"step {step:>6}  held out {bits:.3f} bits/byte, {known}")
    return state

  def save(self, checkpoints: Checkpoints, step: int, state: Any) -> None:
    """Starts writing the state, the position in the data and the config."""
    tokenizer, fingerprint = self.lanes.stream.tokenizer, self.lanes.fingerprint
    position = {"step": step, "fingerprint": fingerprint, "tokenizer": tokenizer}
    meta = {"config": configs.to_json(self.program.config), "jax": jax.__version__}
    checkpoints.save(step, state, position, meta)


def _check_capacity(config: Config, lanes: data.Lanes, heldout: HeldOut) -> None:
  """Raises CapacityError if the run would read more than a memory holds."""
  limit = capacity.limit(config.model.pattern)
  if limit is None:
    return
  c = config.data
  cut = f"cut documents with --data.document-length {limit.tokens}"
  length = lanes.longest_document
  if config.segment_start == "passed":
    raise ConfigError(
      f"segment_start is 'passed' and memory {limit.memory!r} has a capacity: passed "
      "from row to row it would fill without end; take another start or memory"
    )
  if config.segment_start != "carried":
    length = min(length, c.segment_length)
  limit.check(length, f"a document of {c.source!r}", cut)
  scored = config.validation.num_bytes if config.validation.every else 0
  if scored := max(scored, config.eval_bytes):
    limit.check(heldout.longest(scored), "a document of the held-out text", cut)
  if config.sample_bytes:
    lower = f"give --sample-bytes {limit.tokens - 1}"
    limit.check(config.sample_bytes + 1, "the sample at the end", lower)


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
      say(f"step {at}: loss or gradient not finite, skipped; rows in ledger.jsonl")
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
    say(f"checkpoint of step {step} is damaged and was set aside: {why}")
  if restored.data["fingerprint"] != lanes.fingerprint:
    other = restored.data["tokenizer"] != lanes.stream.tokenizer
    what = f"tokenizer {program.config.data.tokenizer}" if other else "data"
    raise ConfigError(
      f"the {what} is not what step {restored.step} was trained on (fingerprint "
      f"{lanes.fingerprint[:12]}, was {restored.data['fingerprint'][:12]}): give the "
      "same files, or choose another --workdir"
    )
  say(f"resumed from step {restored.step}")
  return restored.state, restored.step


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
