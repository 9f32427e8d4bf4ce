"""Scores of tasks by length, as numbers, a table and a picture."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench import metrics, needle
from jaxmem.evaluation.longbench.runner import Plan
from jaxmem.models.lm import LM
from jaxmem.models.pattern import memory_of
from jaxmem.models.stack import blocks_of, parts_of
from jaxmem.runtime.peak import peak_memory

Scores = dict[str, dict[int, float]]


def scores(plan: Plan, answered: Mapping[tuple, dict]) -> Scores:
  """Returns task -> length -> 0 .. 100 of the planned samples with answers, and means.

  The mean of a group, such as `mean of ruler (13 of 13)`, is over its planned tasks, if
  there are at least two, at the lengths that all of them have answers for.

  Args:
    plan: the samples that were planned.
    answered: (task, length, index) -> the line of the answer.
  """
  by_task: Scores = {}
  for task in plan.tasks:
    for length in plan.lengths:
      keys = [(task, length, i) for i in range(plan.samples)]
      values = [answered[key]["score"] for key in keys if key in answered]
      if values:
        by_task.setdefault(task, {})[length] = metrics.mean(values)
  for group, tasks in longbench.groups().items():
    planned = [task for task in tasks if task in plan.tasks]
    if len(planned) < 2:
      continue
    means = {}
    for length in plan.lengths:
      values = [by_task[t][length] for t in planned if length in by_task.get(t, {})]
      if len(values) == len(planned):  # a mean of fewer would not compare
        means[length] = sum(values) / len(values)
    if means:
      by_task[f"mean of {group} ({len(planned)} of {len(tasks)})"] = means
  return by_task


def numbers(
  plan: Plan, answered: Mapping[tuple, dict], model: LM, threshold: float
) -> dict[str, Any]:
  """Returns all numbers of the report, ready for JSON."""
  by_task = scores(plan, answered)
  # the ledger may hold more than this plan, of an earlier one with more samples
  keys = {
    (t, n, i) for t in plan.tasks for n in plan.lengths for i in range(plan.samples)
  }
  lines = [answered[key] for key in keys if key in answered]
  tokens = sum(line["read"] + line["written"] for line in lines)
  return {
    "scores": by_task,
    "effective_length": {
      name: metrics.effective_length(by_length, threshold)
      for name, by_length in by_task.items()
    },
    "threshold": threshold,
    "samples": plan.samples,
    "seed": plan.seed,
    "answered": len(lines),
    "state_bytes_per_layer": state_bytes(model),
    "tokens_per_second": tokens / max(sum(line["seconds"] for line in lines), 1e-9),
    "peak_memory_bytes": peak_memory(),
    "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
  }


def table(plan: Plan, numbers: Mapping[str, Any]) -> list[str]:
  """Returns the numbers as Markdown."""
  lengths = list(plan.lengths)
  head = "".join(f" {length:,} |" for length in lengths)
  lines = [
    f"| task |{head} effective length |",
    "|---|" + "--:|" * (len(lengths) + 1),
  ]
  for name, by_length in numbers["scores"].items():
    cells = [f"{by_length[n]:.1f}" if n in by_length else "-" for n in lengths]
    longest = numbers["effective_length"][name]
    cells.append(f"{longest:,}" if longest else f"below {min(lengths):,}")
    lines.append(f"| {name} | {' | '.join(cells)} |")
  state = ", ".join(f"{n} {b:,} B" for n, b in numbers["state_bytes_per_layer"].items())
  return [
    *lines,
    "",
    f"{numbers['samples']} samples of every task and length, 0 to 100; effective "
    f"length: the longest that reaches {numbers['threshold']} with all shorter ones.",
    "",
    f"State per layer: {state}. {numbers['tokens_per_second']:,.0f} tokens/s, "
    f"compilation included, on {numbers['device']}. Peak memory of the process: "
    f"{numbers['peak_memory_bytes'] / 2**20:,.0f} MiB.",
  ]


def grid(plan: Plan, answered: Mapping[tuple, dict], depths: int) -> np.ndarray:
  """Returns scores of the needle, [depth, length], 0 .. 100; NaN without answers."""
  depth_values = needle.depths(depths)
  cells = np.full((depths, len(plan.lengths)), np.nan)
  for j, length in enumerate(plan.lengths):
    for i, depth in enumerate(depth_values):
      values = [
        line["score"]
        for (task, n, index), line in answered.items()
        if task == "needle" and n == length and index < plan.samples
        if line["depth"] == depth
      ]
      if values:
        cells[i, j] = metrics.mean(values)
  return cells


def state_bytes(model: LM) -> dict[str, int]:
  """Returns memory of the pattern -> bytes of its state in one layer, for one text."""
  parts = parts_of(jax.eval_shape(lambda: model.init_state(1)))

  def count(block: Any) -> int:
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(block))

  # the states of all groups are stacked, and one layer is meant
  groups = [count(block) // model.config.num_groups for block in parts.groups]
  sizes = [*map(count, parts.first), *groups, *map(count, parts.last)]
  items = [memory_of(block) for block in blocks_of(model.config)]
  sizes_by_name: dict[str, set[int]] = {}
  for item, size in zip(items, sizes, strict=True):
    sizes_by_name.setdefault(item.name, set()).add(size)
  # options are part of a name only where they change the size
  return {
    item.name if len(sizes_by_name[item.name]) == 1 else str(item): size
    for item, size in zip(items, sizes, strict=True)
  }
