"""The results of a comparison: `results.jsonl`, a line for each run that has ended."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from jaxmem.core import files
from jaxmem.evaluation.compare.plan import Plan, Run
from jaxmem.runtime.resumable import Ledger

RESULTS = "results.jsonl"
_KEY = ("memory", "length", "seed")


def folder_of(directory: Path, run: Run) -> Path:
  """Returns the folder of a run."""
  return directory / "runs" / run.pair / f"seed{run.seed}"


def head(run: Run) -> dict[str, Any]:
  """Returns the keys that identify a run in its plan."""
  return {"memory": str(run.memory), "length": run.length, "seed": run.seed}


def open_ledger(plan: Plan, directory: Path) -> Ledger:
  """Opens the results in a directory, which holds those of one plan.

  Lines have the keys of `head`, and either those of a result or "failed": why.

  Args:
    plan: the comparison.
    directory: where its files are.

  Raises:
    ResumeError: if the directory is of another plan, or cannot be used.
  """
  ledger = Ledger(
    directory,
    dataclasses.asdict(plan),
    key=_KEY,
    names=("plan.json", RESULTS),
    defaults=dataclasses.asdict(Plan()),
  )
  # a directory from before 0.2 has no ledger yet, only a file in each run's folder
  runs = plan.runs() if (directory / "runs").exists() else []
  for run in runs:
    if tuple(head(run).values()) not in ledger.done:
      _adopt(ledger, run, folder_of(directory, run))
  return ledger


def ended(ledger: Ledger, run: Run, directory: Path) -> dict[str, Any] | None:
  """Returns the line of a run that has ended; None if the run is still to do.

  A run that failed is tried again once its folder is deleted.
  """
  # the folder of a failed run holds its log; deleting it asks for another try
  line = ledger.done.get(tuple(head(run).values()))
  if line and "failed" in line and not folder_of(directory, run).exists():
    return None
  return line


def position(folder: Path) -> tuple[int, int]:
  """Returns the step that a run has reached, and its steps; 0 if they are not known."""
  budget, log = folder.parent / "steps.json", folder / "metrics.jsonl"
  if not (budget.exists() and log.exists()):
    return 0, 0
  lines = files.read_text(log).split("\n")[:-1]  # the last line may not be whole
  return (json.loads(lines[-1])["step"] if lines else 0), files.read_json(budget)


def _adopt(ledger: Ledger, run: Run, folder: Path) -> None:
  """Takes over what a version before 0.2 wrote to the folder of a run."""
  if (folder / "result.json").exists():
    ledger.append([head(run) | files.read_json(folder / "result.json")])
  elif (folder / "failed.txt").exists():
    failed = files.read_text(folder / "failed.txt").strip()
    ledger.append([head(run) | {"failed": failed}])
