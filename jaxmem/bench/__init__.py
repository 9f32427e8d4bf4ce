"""The benchmark of `jaxmem bench`: our ops and what a user would call instead."""

import dataclasses
import sys
from pathlib import Path
from typing import ClassVar

from jaxmem.bench import cases, peers, report, runner, targets
from jaxmem.bench.case import OURS
from jaxmem.core import outputs, ranges, registry
from jaxmem.core.command_line import parse
from jaxmem.core.options import Page
from jaxmem.core.progress import Progress, say
from jaxmem.core.ranges import number
from jaxmem.runtime.resumable import Ledger

# In `out` while a benchmark goes on: what decides its numbers, and those that it has.
NAMES = "plan.json", "measured.jsonl"

# How a benchmark goes on after Ctrl-C.
_KEPT = "the same command measures the others"

__all__ = ["BenchOptions", "groups", "main", "run"]


@dataclasses.dataclass(frozen=True)
class BenchOptions:
  """Measures time, memory and growth with the sequence of our ops, on one core.

  A benchmark that is stopped continues with the same command.

  Attributes:
    ops: all, or names with commas between them; memories that are settings of another's
      op (kda, retention) and decode have names of their own.
    peers: measures other libraries too, as far as they are installed.
    against: the root of another checkout, whose ops take turns with these.
    rounds: samples of every contestant.
    out: the directory of bench_cpu.json and bench_cpu.md.
    quick: measures tiny sizes, to try the plumbing; its numbers mean nothing.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem bench --ops gated_delta,window --peers",
    {
      "What is measured": ("ops", "peers", "against"),
      "How": ("rounds", "quick"),
      "What is written": ("out",),
    },
    words={"ops": "NAMES", "against": "DIR", "out": "DIR"},
  )

  ops: str = "all"
  peers: bool = False
  against: Path | None = None
  rounds: int = number(5, at_least=1, at_most=10**6)
  out: Path = Path("runs/bench")
  quick: bool = False


Options = BenchOptions  # the name before 0.2; it goes in 0.3


def selected(names: str) -> list[str]:
  """Returns the ops that `--ops` names.

  Raises:
    KeyError: if there is no such op; the message names the nearest.
  """
  available = sorted(n for n in cases.table() if not n.endswith(("_short", "_long")))
  if names == "all":
    return available
  requested = [name.strip() for name in names.split(",") if name.strip()]
  if not requested:
    raise KeyError(
      f"--ops {names!r} names no op: give all, or of {', '.join(available)}"
    )
  for name in requested:
    if name not in available:
      raise KeyError(f"no op {name!r} to measure: {registry.nearest(name, available)}")
  return requested


def groups(
  name: str, with_peers: bool, against: Path | None = None
) -> list[list[runner.Contestant]]:
  """Returns who takes turns: a case with its peers, short calls with long ones.

  Args:
    name: the case.
    with_peers: whether installed peers take part.
    against: the root of another checkout that takes part.
  """
  rivals = peers.installed(name) if with_peers else []
  rivals += [str(against.absolute())] if against else []
  sides = [target.theirs for target in targets.targets() if target.ours == name]
  our_cases = [name, *(case for case, who in sides if who == OURS and case != name)]
  contestants = [runner.Contestant(case, OURS) for case in our_cases]
  contestants += [runner.Contestant(name, who) for who in rivals]
  lengths = [
    case for case in (f"{name}_short", f"{name}_long") if case in cases.table()
  ]
  growth = [runner.Contestant(c, OURS) for c in lengths if c in cases.table()]
  return [contestants] + ([growth] if growth else [])


def run(options: BenchOptions) -> dict:
  """Measures, and returns the report (see `report.build`).

  The rows of each finished group stay in `out` until `finish`, so a run that was
  stopped measures what is missing.

  Raises:
    KeyError: if an op is not known.
    ValueError: if rounds is not in 1 .. 10^6.
    ResumeError: if `out` has the rows of another benchmark.
  """
  ranges.check(options, "--")
  table = cases.table(options.quick)
  tokens = {name: case.tokens for name, case in table.items()}
  ledger = Ledger(
    options.out, _identity(options), key=("group", "case", "who", "direction"),
    names=NAMES,
  )  # fmt: skip
  names = selected(options.ops)
  with Progress(len(names), "ops", resume=_KEPT) as progress:
    for name in names:
      for group in groups(name, options.peers, options.against):
        first = group[0].case
        if any(first == measured for measured, *_ in ledger.done):
          continue
        say(f"measuring {', '.join(f'{c.case} ({c.who})' for c in group)}")
        rows = runner.measure(
          group,
          tokens,
          rounds=options.rounds,
          quick=options.quick,
          directions=table[name].directions,
        )
        # only rows of one group are compared: their contestants took turns
        ledger.append({"group": first, **row} for row in rows)
      progress.advance(1, "saved")
  return report.build(list(ledger.done.values()), options.rounds, options.quick)


def _identity(options: BenchOptions) -> dict:
  """Returns what decides the numbers of a benchmark, the code of the ops excepted."""
  against = str(options.against.absolute()) if options.against else ""
  fields = {"ops": options.ops, "peers": options.peers, "against": against}
  sizes = {"rounds": options.rounds, "quick": options.quick}
  return fields | sizes | {"machine": report.machine()}


def finish(results: dict, out: Path) -> list[Path]:
  """Writes the report of a benchmark, and removes what it would have resumed from."""
  paths = list(report.write(results, out))
  for name in NAMES:
    (out / name).unlink(missing_ok=True)
  return paths


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns the exit code, 2 for a wrong argument."""
  try:
    options = parse(
      BenchOptions, sys.argv[1:] if argv is None else argv, "jaxmem bench"
    )
    selected(options.ops)
    if options.against and not (options.against / "jaxmem").is_dir():
      raise ValueError(f"--against {options.against}: give the root of a checkout")
    outputs.make_directory(options.out)
    results = run(options)
  except (KeyError, ValueError) as error:
    print(f"jaxmem: {error.args[0]}", file=sys.stderr)
    return 2
  print()
  print(report.markdown(results))
  for path in finish(results, options.out):
    print(path)
  return 0
