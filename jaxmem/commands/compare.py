"""sets memories side by side on a task: jaxmem compare --task mqar --memories A,B"""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

from jaxmem.commands import require
from jaxmem.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
  """Trains equal-sized models of several memories on a task, and tells them apart.

  The same command goes on where it was stopped. A run that failed is a row that says
  so; delete its folder to try it again.

  Attributes:
    task: a file of `jaxmem.evals.tasks` with options: mqar, parity, mqar:size=paper.
    memories: as in a pattern: attention,window:window_size=32,gated_delta.
    lengths: of the examples, such as 64,256; a model is trained at each, and asked at
      1, 2, 4, 8 and 16 times its own.
    minutes_per_run: of training; compiling is not counted.
    steps: of training instead; 0 is as many as the minutes allow.
    seeds: models of each memory and length.
    d_model: features.
    layers: blocks.
    params: numbers of a model; 0 is what the largest memory has with MLPs of d_model.
    batch_size: examples of a step.
    learning_rate: the highest.
    ask: tokens of test examples at each length.
    out: the directory.
  """

  task: str = "mqar"
  memories: str = "attention,window,gated_delta,retention,mamba2,lstm"
  lengths: str = "64,256"
  minutes_per_run: float = 2.0
  steps: int = 0
  seeds: int = 3
  d_model: int = 64
  layers: int = 2
  params: int = 0
  batch_size: int = 32
  learning_rate: float = 3e-3
  ask: int = 32_768
  out: str = "runs/compare"


def main(argv: list[str]) -> int:
  """`jaxmem compare`: runs what has not ended, then the table and the plots."""
  require("tyro", "grain", "matplotlib")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem compare")
  from jaxmem.compare import pictures, plan, table, worker
  from jaxmem.train import EXIT_STOPPED

  what = _plan(given)
  what.check()
  for run in what.runs()[: len(what.runs()) // what.seeds]:
    run.model()  # every size can be met, or says so
  directory = Path(given.out)
  plan.keep(what, directory)

  runs, code = what.runs(), 0
  for index, run in enumerate(runs):
    own = worker.place(directory, run)
    if (own / "result.json").exists() or (own / "failed.txt").exists():
      continue
    name = f"{run.memory}, length {run.length}, seed {run.seed}"
    print(f"run {index + 1} of {len(runs)}: {name}", flush=True)
    code = _child(directory, index, own)
    if code == EXIT_STOPPED:
      print("stopped; the same command goes on", flush=True)
      break
  text, summary = table.write(what, directory)
  made = pictures.draw(summary, what.task, directory)
  print("\n" + text)
  names = ["table.csv", "table.json", "table.md", *(path.name for path in made)]
  print(f"In {directory}: " + ", ".join(names))
  return EXIT_STOPPED if code == EXIT_STOPPED else 0


def _plan(given: Options):
  from jaxmem.compare.plan import Plan

  fields = dataclasses.asdict(given)
  del fields["out"]
  minutes = fields.pop("minutes_per_run")
  try:
    lengths = tuple(int(n) for n in fields.pop("lengths").split(","))
  except ValueError as error:
    raise UserError(f"--lengths {given.lengths}: numbers expected, 64,256") from error
  return Plan(**fields, minutes=minutes, lengths=lengths)


def _child(directory: Path, index: int, own: Path) -> int:
  """Run `index` in a process of its own; what it said is in `log.txt`."""
  from jaxmem.train import EXIT_STOPPED

  own.mkdir(parents=True, exist_ok=True)
  command = [sys.executable, "-m", "jaxmem.compare.worker", str(directory), str(index)]
  begin = time.monotonic()
  with open(own / "log.txt", "a") as log:
    # a session of its own, so that a signal reaches it once, from here
    child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    forward = lambda number, _: child.send_signal(number)
    old = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    code = child.wait()
    for number, handler in old.items():
      signal.signal(number, handler)
  seconds = time.monotonic() - begin
  if code == 0:
    print(f"  done in {seconds:.0f} s", flush=True)
  elif code != EXIT_STOPPED:
    lines = (own / "log.txt").read_text().strip().splitlines()
    why = lines[-1] if lines else "it said nothing"
    (own / "failed.txt").write_text(f"exit code {code}: {why}\n")
    print(f"  FAILED with exit code {code}: {why}", flush=True)
  return code
