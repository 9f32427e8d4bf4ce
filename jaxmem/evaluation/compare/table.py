"""The table of a comparison: the runs so far, failed ones included."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import files
from jaxmem.evaluation.compare import ledger
from jaxmem.evaluation.compare.plan import Plan
from jaxmem.tasks.synthetic import accuracy, episodes


def rows(plan: Plan, directory: Path) -> list[dict[str, Any]]:
  """Returns a row a run that has ended, in the plan's order; a failed one says why."""
  opened = ledger.open_ledger(plan, directory)
  lines = (ledger.ended(opened, run, directory) for run in plan.runs())
  return [line for line in lines if line]


def summary(plan: Plan, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Returns a row a memory and trained length: means over the seeds that ended.

  `at` is the length of the test examples -> accuracies of the seeds.
  """
  out = []
  for run in [r for r in plan.runs() if r.seed == 0]:  # one a memory and length
    of_model = [
      r for r in rows if (r["memory"], r["length"]) == (str(run.memory), run.length)
    ]
    succeeded = [r for r in of_model if "failed" not in r]
    row = {
      "memory": str(run.memory),
      "length": run.length,
      "seeds": len(succeeded),
      "failed": [r["failed"] for r in of_model if "failed" in r],
    }
    if succeeded:
      lengths = [a["length"] for a in succeeded[0]["accuracy"]]
      row |= {
        "params": succeeded[0]["params"],
        "state_bytes_per_layer": succeeded[0]["state_bytes_per_layer"],
        "steps": succeeded[0]["steps"],
        "tokens_per_second": _mean(succeeded, "tokens_per_second"),
        "peak_memory_bytes": _mean(succeeded, "peak_memory_bytes"),
        "at": {
          length: [r["accuracy"][i]["answers"] for r in succeeded]
          for i, length in enumerate(lengths)
        },
        "by_depth": {
          length: _mean_depths([r["accuracy"][i]["by_depth"] for r in succeeded])
          for i, length in enumerate(lengths)
        },
      }
    out.append(row)
  return out


def _mean(rows: list[dict[str, Any]], key: str) -> float:
  return float(np.mean([row[key] for row in rows]))


def _mean_depths(depths: list[list[float | None]]) -> list[float | None]:
  """Returns the means over seeds; None at depths without questions."""
  means = []
  for column in zip(*depths, strict=True):  # [seed][depth] -> a column a depth
    values = [value for value in column if value is not None]
    means.append(float(np.mean(values)) if values else None)
  return means


def chance(task: str, summary: list[dict[str, Any]]) -> dict[int, float]:
  """Returns length of the test examples -> accuracy of `accuracy.guess`.

  Args:
    task: as in a plan.
    summary: see `summary`.
  """
  problem = episodes.parse(task)
  lengths = sorted({length for row in summary for length in row.get("at", {})})
  return {
    length: accuracy.guess(episodes.Episodes(problem, length, 0, "test"))
    for length in lengths
  }


def markdown(plan: Plan, summary: list[dict[str, Any]]) -> str:
  """Returns the table as Markdown."""
  lengths = sorted({length for row in summary for length in row.get("at", {})})
  head = ["memory", "trained at", "seeds", "parameters", "state bytes a layer", "steps"]
  head += [f"at {length}" for length in lengths] + ["tokens/s", "peak MiB"]
  lines = [
    f"Task {plan.task}, {plan.layers} layers of {plan.d_model}, "
    f"{_budget(plan)} a run, {plan.seeds} seeds: fraction of the answers that are "
    "right, mean (least to most of the seeds), by the length of the test examples.",
    "",
    "| " + " | ".join(head) + " |",
    "|" + "---|" * len(head),
  ]
  for row in summary:
    lines.append("| " + " | ".join(_cells(row, lengths)) + " |")
    name = f"| {row['memory']} | {row['length']} |"
    lines += [f"{name} failed: {why} |" for why in row["failed"]]
  return "\n".join(lines) + "\n"


def _budget(plan: Plan) -> str:
  return f"{plan.steps:,} steps" if plan.steps else f"{plan.minutes_per_run:g} minutes"


def _cells(row: dict[str, Any], lengths: list[int]) -> list[str]:
  cells = [row["memory"], str(row["length"])]
  if not row["seeds"]:
    return cells + ["no run has ended"]
  cells.append(str(row["seeds"]))
  cells += [f"{row[k]:,}" for k in ("params", "state_bytes_per_layer", "steps")]
  cells += [_range(row["at"].get(length)) for length in lengths]
  cells.append(f"{row['tokens_per_second']:,.0f}")
  return cells + [f"{row['peak_memory_bytes'] / 2**20:,.0f}"]


def _range(values: list[float] | None) -> str:
  if not values:
    return "-"
  least, greatest = min(values), max(values)
  return f"{np.mean(values):.2f} ({least:.2f} to {greatest:.2f})"


def write(plan: Plan, directory: Path) -> tuple[str, list[dict[str, Any]]]:
  """Writes `table.csv`, `table.json`, `table.md`; returns the last and the summary."""
  lines = rows(plan, directory)
  means = summary(plan, lines)
  text = markdown(plan, means)
  files.write_text(directory / "table.md", text)
  files.write_json(directory / "table.json", lines)
  # a row a run and test length, which is the form that plotting tools read
  with (
    files.replacing(directory / "table.csv") as temporary,
    open(temporary, "w", newline="", encoding="utf-8") as file,
  ):
    writer = csv.writer(file)
    writer.writerow(
      ["memory", "trained_at", "seed", "params", "state_bytes_per_layer", "steps",
       "tokens_per_second", "peak_memory_bytes", "asked_at", "answers", "whole",
       "bits_per_answer", "failed"]
    )  # fmt: skip
    for row in lines:
      head = [row["memory"], row["length"], row["seed"]]
      if "failed" in row:
        writer.writerow([*head, *[""] * 9, row["failed"]])  # no numbers, only why
        continue
      keys = ("params", "state_bytes_per_layer", "steps", "tokens_per_second",
              "peak_memory_bytes")  # fmt: skip
      for a in row["accuracy"]:
        answers = [a[k] for k in ("length", "answers", "whole", "bits")]
        writer.writerow([*head, *(row[k] for k in keys), *answers, ""])
  return text, means
