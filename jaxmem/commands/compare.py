"""compares memories on a task: jaxmem compare --task mqar --memories A,B"""

import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from jaxmem.commands import require
from jaxmem.core import kinds
from jaxmem.core.command_line import parse
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import Progress, say


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem compare", _options()())]


def _options() -> Any:
  """Returns the class of the options: a plan, and where its results go."""
  from jaxmem.evaluation.compare import plan as plans

  @dataclasses.dataclass(frozen=True)
  class Options(plans.Plan):
    """Trains models of equal size with several memories on a task, and compares them.

    The same command continues where it stopped. A run that failed becomes a row that
    says so; delete its folder to try it again.

    Attributes:
      out: the directory for the runs, the table and the plots.
    """

    PAGE: ClassVar[Page] = Page(
      "jaxmem compare --task mqar --memories attention,gated_delta --lengths 64",
      {
        "What is compared": ("task", "memories", "lengths", "seeds"),
        "The models": ("d_model", "layers"),
        "The training": ("minutes_per_run", "steps", "learning_rate"),
        "What is written": ("out",),
      },
      words={
        "task": "TASK", "memories": "NAMES", "lengths": "N,N", "minutes_per_run": "X",
        "out": "DIR",
      },
    )  # fmt: skip

    out: str = "runs/compare"

  return Options


def main(argv: list[str]) -> int:
  """Runs `jaxmem compare`: the runs that have not ended, then the table and plots."""
  options = parse(_options(), argv, "jaxmem compare")
  require("grain", "matplotlib")
  import jax

  from jaxmem.evaluation.compare import ledger, pictures, table
  from jaxmem.evaluation.compare import plan as plans
  from jaxmem.training.trainer import EXIT_STOPPED

  # a TPU belongs to one process, and so does most of a GPU's memory: to that of a run
  jax.config.update("jax_platforms", "cpu")
  # a Plan without `out`: it is saved, and the directory may move
  fields = dataclasses.fields(plans.Plan)
  plan = plans.Plan(**{f.name: getattr(options, f.name) for f in fields})
  plan.check()
  runs, code, directory = plan.runs(), 0, Path(options.out)
  for run in runs[: len(runs) // plan.seeds]:
    run.model()  # raises before any training if a memory cannot have the size
  done = ledger.open_ledger(plan, directory)
  for index, run in enumerate(runs):
    if ledger.ended(done, run, directory):
      continue
    name = f"{run.memory}, length {run.length}, seed {run.seed}"
    say(f"run {index + 1} of {len(runs)}: {name}")
    # a process for each run, so that a crash or full memory ends one run alone
    code, why = _child(directory, index, ledger.folder_of(directory, run), run)
    if code == EXIT_STOPPED:
      ended = len(ledger.open_ledger(plan, directory).done)
      say(f"stopped after {ended} of {len(runs)} runs; the same command continues")
      break
    if why:
      # the ledger is read again, since the child may have died within a line of it
      line = ledger.head(run) | {"failed": f"exit code {code}: {why}"}
      ledger.open_ledger(plan, directory).append([line])
  text, summary = table.write(plan, directory)
  chance = table.chance(plan.task, summary)
  paths = pictures.draw(summary, plan.task, directory, chance)
  print("\n" + text)
  names = ["table.csv", "table.json", "table.md", *(path.name for path in paths)]
  print(f"In {directory}: " + ", ".join(names))
  return EXIT_STOPPED if code == EXIT_STOPPED else 0


def _child(directory: Path, index: int, folder: Path, run: Any) -> tuple[int, str]:
  """Runs number `index` in a child process, whose output goes to `log.txt`.

  Args:
    directory: the directory of the comparison.
    index: the number of the run.
    folder: the folder of the run.
    run: the run, see `plan.Run`.

  Returns:
    The exit code, and the last line of the output if the run failed, else "".
  """
  from jaxmem.training.trainer import EXIT_STOPPED

  folder.mkdir(parents=True, exist_ok=True)
  command = [
    sys.executable,
    "-m",
    "jaxmem.evaluation.compare.worker",
    str(directory),
    str(index),
    *kinds.loaded(),
  ]
  begin = time.monotonic()
  with open(folder / "log.txt", "a", encoding="utf-8") as log:
    # a new session: Ctrl-C reaches the child once, from `forward`, not twice
    child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def forward(number: int, _: object) -> None:
      child.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, forward) for number in numbers}
    code = _wait(child, folder, run)
    for number, handler in handlers.items():
      signal.signal(number, handler)
  if code == 0:
    say(f"  done in {time.monotonic() - begin:.0f} s")
  if code in (0, EXIT_STOPPED):
    return code, ""
  text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
  why = (text.strip().splitlines() or ["it printed nothing"])[-1]
  say(f"  FAILED with exit code {code}: {why}")
  return code, why


def _wait(child: subprocess.Popen, folder: Path, run: Any) -> int:
  """Shows the steps of a run until its process ends; returns the exit code."""
  from jaxmem.evaluation.compare import ledger
  from jaxmem.training.callbacks import next_save

  with contextlib.ExitStack() as stack:
    progress = None
    while True:
      with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(timeout=0.5)
      step, steps = ledger.position(folder)
      if steps and not progress:  # the first run of a memory finds how many
        progress = stack.enter_context(Progress(steps, "step", done=step))
      elif progress and step > progress.done:
        progress.update(step, f"saves at {next_save(run.config(steps), step)}")
