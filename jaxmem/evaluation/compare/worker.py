"""One run of a comparison, in its own process, so that its peak memory is its own.

    python -m jaxmem.evaluation.compare.worker DIRECTORY INDEX [PLUGIN ...]

Writes its line of `results.jsonl` when it ends. A first run of a memory and length
finds how many steps fit the budget; the other seeds take as many.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax

from jaxmem.core import files, kinds
from jaxmem.core.errors import RunError, UserError
from jaxmem.evaluation.compare import ledger
from jaxmem.evaluation.compare import plan as plans
from jaxmem.evaluation.compare.plan import Run
from jaxmem.parallel import mesh as meshes
from jaxmem.runtime import compilation
from jaxmem.runtime.peak import peak_memory
from jaxmem.training import run_task
from jaxmem.training.step import Program, resolve
from jaxmem.training.trainer import train

# Steps are timed for so many seconds, and at least so many of them.
SECONDS, LEAST = 3.0, 5


def steps_within(run: Run) -> int:
  """Returns how many steps the budget allows; times a few steps to estimate it."""
  config = resolve(run.config(steps=100))
  program = Program(config, meshes.make(config.mesh))
  batch = program.put(run_task.make(config, program.model).rows[0])
  state = program.init()
  state, metrics = program.step(state, batch)  # compiles, so it is not timed
  jax.block_until_ready(metrics)
  count, begin = 0, time.monotonic()
  while count < LEAST or time.monotonic() - begin < SECONDS:
    state, metrics = program.step(state, batch)
    jax.block_until_ready(metrics)
    count += 1
  seconds = (time.monotonic() - begin) / count
  return max(int(60 * run.plan.minutes_per_run / seconds), plans.LEAST_STEPS)


def result(run: Run, folder: Path, steps: int) -> dict[str, Any]:
  """Returns the measurements of a run that has ended."""
  report = files.read_json(folder / "report.json")
  lines = files.read_text(folder / "metrics.jsonl").splitlines()
  rates = [json.loads(line).get("tokens_per_second") for line in lines]
  return {
    "steps": steps,
    "params": plans.count(run.model()),
    "state_bytes_per_layer": run.state_bytes(),
    "tokens_per_second": statistics.median(rate for rate in rates if rate),
    "peak_memory_bytes": peak_memory(),
    "accuracy": report["accuracy"],
  }


def main(directory: Path, index: int) -> int:
  """Trains run `index` of the plan and appends its result; returns the exit code."""
  plan = plans.read(directory)
  run = plan.runs()[index]
  folder = ledger.folder_of(directory, run)
  folder.mkdir(parents=True, exist_ok=True)
  budget = folder.parent / "steps.json"
  if not budget.exists():  # the first seed times the steps; the others take as many
    files.write_text(budget, json.dumps(plan.steps or steps_within(run)))
  steps = files.read_json(budget)
  code = train(run.config(steps), folder)
  if code == 0:
    line = ledger.head(run) | result(run, folder, steps)
    ledger.open_ledger(plan, directory).append([line])
  return code


if __name__ == "__main__":
  compilation.enable()  # seeds share their programs: only the first compiles
  try:
    for plugin in sys.argv[3:]:
      kinds.load(plugin)
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
  except (UserError, RunError) as error:
    sys.exit(f"jaxmem: {error}")
