"""The report of a benchmark, as JSON and as Markdown: measurements and targets."""

import importlib.metadata
import os
import platform
import statistics
from pathlib import Path

from jaxmem.bench import cases, peers, runner, targets
from jaxmem.bench.case import OURS, Target
from jaxmem.core import files

VERSIONS = ("jax", "jaxlib", "flax", "numpy", *sorted(
  {peer.distribution for peer in peers.PEERS.values()} - {"jax", "flax"}
))  # fmt: skip
PROTOCOL = (
  "CPU time of one core and one thread, float32. Every contestant runs in a process of "
  "its own and they take turns (A B C, C B A, ...); a sample is as many calls as fill "
  "80 ms, after two that do not count; medians over the rounds, with minimum and "
  "maximum. Forward+backward differentiates all inputs and weights. "
  "Temporary buffers are XLA's own count."
)


def machine() -> dict:
  """Returns the processor, the cores and the versions of everything measured."""
  model = platform.processor() or platform.machine()
  info = Path("/proc/cpuinfo")
  if info.exists():
    lines = [line.split(":", 1) for line in files.read_text(info).splitlines()]
    fields = {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}
    model = fields.get("model name", model)
    if {"cpu family", "model"} <= fields.keys():
      model += f" (family {fields['cpu family']}, model {fields['model']})"
  versions = {"python": platform.python_version()}
  for name in VERSIONS:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return {"cpu": model, "cores": os.cpu_count(), "versions": versions}


def verdict(fraction: float, must: float, stretch: float) -> str:
  """Returns in a word whether a fraction keeps the promise.

  Args:
    fraction: ours over theirs.
    must: the promised fraction.
    stretch: the fraction that was hoped for.
  """
  if fraction <= stretch:
    return "stretch met"
  return "met" if fraction <= must else "MISSED"


def compare(results: list[dict], quick: bool = False) -> list[dict]:
  """Returns a row for each target of which both sides took turns.

  Args:
    results: the rows of `runner.measure`, with their groups.
    quick: whether sizes were tiny, so that no target is judged.
  """
  by_key = {(r.get("group"), r["case"], r["who"], r["direction"]): r for r in results}
  rows = []
  for target in targets.targets():
    for group in dict.fromkeys(key[0] for key in by_key):
      ours = by_key.get((group, target.ours, OURS, target.direction), {})
      theirs = by_key.get((group, *target.theirs, target.direction), {})
      a, b = ours.get(target.measure), theirs.get(target.of or target.measure)
      if a is None or not b:  # one side failed, or torch has no such number
        continue
      judged = verdict(a / b, target.must, target.stretch)
      rows.append(
        {
          "row": target.row,
          "against": _against(target),
          "measure": target.measure,
          "ours": a,
          "theirs": b,
          "fraction": a / b,
          "must": target.must,
          "stretch": target.stretch,
          "verdict": "tried only" if quick else judged,
        }
      )
      break
  return rows


def _against(target: Target) -> str:
  """Returns the other side in words."""
  case, who = target.theirs
  if who != OURS:
    return _who(who)
  if target.of:
    return "inputs and outputs"
  return "the shorter call" if case.endswith("_short") else f"our {case}"


def ratios(results: list[dict]) -> list[float]:
  """Returns our seconds over another checkout's, for each case and direction."""

  def key(row: dict) -> tuple:
    return row.get("group"), row["case"], row["direction"]

  ours = {key(row): row for row in results if row["who"] == OURS}
  pairs = [(ours[key(row)], row) for row in results if "/" in row["who"]]
  return [
    a["seconds"] / b["seconds"] for a, b in pairs if "seconds" in a and "seconds" in b
  ]


def build(results: list[dict], rounds: int, quick: bool) -> dict:
  """Returns the whole report: machine, protocol, comparisons, results.

  Args:
    results: the rows of `runner.measure`, with their groups.
    rounds: samples of every contestant.
    quick: whether sizes were tiny.
  """
  return {
    "machine": machine(),
    "protocol": PROTOCOL,
    "settings": runner.SETTINGS,
    "rounds": rounds,
    "quick": quick,
    "comparisons": compare(results, quick),
    "results": results,
  }


def _who(name: str) -> str:
  return peers.PEERS[name].title if name in peers.PEERS else name


UNITS = {
  "seconds": lambda x: f"{x * 1e3:.1f} ms",
  "ns_per_token": lambda x: f"{x:.0f} ns/token",
  "temp_bytes": lambda x: f"{x / 1e6:.1f} MB",
}


def _table(head: list[str], rows: list[list[str]]) -> str:
  lines = [head, ["---"] * len(head), *rows]
  return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _comparison(row: dict) -> list[str]:
  """Returns the cells of a comparison."""
  unit = UNITS[row["measure"]]
  return [
    row["row"],
    row["against"],
    unit(row["ours"]),
    unit(row["theirs"]),
    f"{row['fraction']:.2f}",
    f"{row['must']:g} / {row['stretch']:g}",
    row["verdict"],
  ]


def _result(r: dict, quick: bool) -> list[str]:
  """Returns the cells of a measurement."""
  title = cases.table(quick)[r["case"]].title
  if "error" in r:
    return [title, _who(r["who"]), r["direction"], f"failed: {r['error']}", "", "", ""]
  temp = r["temp_bytes"]
  return [
    title,
    _who(r["who"]),
    r["direction"],
    UNITS["seconds"](r["seconds"]),
    f"{r['minimum'] * 1e3:.1f} .. {r['maximum'] * 1e3:.1f}",
    f"{r['ns_per_token']:.0f}",
    "" if temp is None else f"{temp / 1e6:.1f}",
  ]


def markdown(report: dict) -> str:
  """Returns the report as Markdown."""
  about = report["machine"]
  versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
  settings = " ".join(f"{k}={v}" for k, v in report["settings"].items())
  quick = report["quick"]
  parts = [
    "# Benchmark on CPU",
    "Tiny sizes: this tries the plumbing and measures nothing." if quick else "",
    f"{about['cpu']}, {about['cores']} cores. {versions}.",
    f"{PROTOCOL} Rounds: {report['rounds']}. Both sides ran under `{settings}`.",
    "Written by `jaxmem bench`. A fraction below 1 is ours being less than theirs.",
    "## Against what was promised: forward and backward, models that write forward",
    _table(
      ["what", "against", "ours", "theirs", "fraction", "must / stretch", "verdict"],
      list(map(_comparison, report["comparisons"])),
    ),
    _against_checkout(ratios(report["results"])),
    "## All measurements",
    _table(
      ["case", "who", "direction", "median", "min .. max, ms", "ns/token", "temp MB"],
      [_result(r, quick) for r in report["results"]],
    ),
  ]
  return "\n\n".join(filter(None, parts)) + "\n"


def _against_checkout(fractions: list[float]) -> str:
  if not fractions:
    return ""
  low, middle, high = min(fractions), statistics.median(fractions), max(fractions)
  return (
    f"Seconds over those of the other checkout: median {middle:.3f}, {low:.2f} to "
    f"{high:.2f}, of {len(fractions)}."
  )


def write(report: dict, out: Path) -> tuple[Path, Path]:
  """Writes bench_cpu.json and bench_cpu.md into `out`; returns their paths."""
  out.mkdir(parents=True, exist_ok=True)
  as_json, as_markdown = out / "bench_cpu.json", out / "bench_cpu.md"
  files.write_json(as_json, report, indent=1)
  files.write_text(as_markdown, markdown(report))
  return as_json, as_markdown
