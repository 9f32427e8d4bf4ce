"""sets memories side by side on a task: jaxmem compare --task mqar --memories A,B"""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

from jaxmem.commands import require
from jaxmem.core import files, kinds


def main(argv: list[str]) -> int:
  """`jaxmem compare`: runs what has not ended, then the table and the plots."""
  require("tyro", "grain", "matplotlib")
  import tyro

  from jaxmem.evaluation.compare import pictures, plan, table, worker
  from jaxmem.training.trainer import EXIT_STOPPED

  @dataclasses.dataclass(frozen=True)
  class Options(plan.Plan):
    """Trains equal-sized models of several memories on a task, and tells them apart.

    The same command continues where it stopped. A run that failed is a row that says
    so; delete its folder to try it again.

    Attributes:
      out: the directory.
    """

    out: str = "runs/compare"

  given = tyro.cli(Options, args=argv, prog="jaxmem compare")
  fields = dataclasses.fields(plan.Plan)
  what = plan.Plan(**{f.name: getattr(given, f.name) for f in fields})
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
      print("stopped; the same command continues", flush=True)
      break
  text, summary = table.write(what, directory)
  made = pictures.draw(summary, what.task, directory)
  print("\n" + text)
  names = ["table.csv", "table.json", "table.md", *(path.name for path in made)]
  print(f"In {directory}: " + ", ".join(names))
  return EXIT_STOPPED if code == EXIT_STOPPED else 0


def _child(directory: Path, index: int, own: Path) -> int:
  """Run `index` in a process of its own; what it said is in `log.txt`."""
  from jaxmem.training.trainer import EXIT_STOPPED

  own.mkdir(parents=True, exist_ok=True)
  command = [
    sys.executable,
    "-m",
    "jaxmem.evaluation.compare.worker",
    str(directory),
    str(index),
    *kinds.loaded(),
  ]
  begin = time.monotonic()
  with open(own / "log.txt", "a", encoding="utf-8") as log:
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
    log = (own / "log.txt").read_text(encoding="utf-8", errors="replace")
    lines = log.strip().splitlines()
    why = lines[-1] if lines else "it said nothing"
    files.write_text(own / "failed.txt", f"exit code {code}: {why}\n")
    print(f"  FAILED with exit code {code}: {why}", flush=True)
  return code
