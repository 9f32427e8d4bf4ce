"""The benchmark of `jaxmem bench`: our ops and what a user would call instead."""

import dataclasses
import sys
from pathlib import Path

from jaxmem.bench import cases, peers, report, runner, targets
from jaxmem.bench.case import OURS
from jaxmem.core import outputs, ranges, registry
from jaxmem.core.progress import Progress, say
from jaxmem.core.ranges import number

# What Ctrl-C costs.
_LOST = "nothing is written: name the other ops in --ops to measure them alone"

__all__ = ["BenchOptions", "groups", "main", "run"]


@dataclasses.dataclass(frozen=True)
class BenchOptions:
  """Measures time, memory and growth with the sequence of our ops, on one core.

  Attributes:
    ops: all, or names with commas between them; memories that are settings of another's
      op (kda, retention) and decode have names of their own.
    peers: measures other libraries too, as far as they are installed.
    against: the root of another checkout, whose ops take turns with these.
    rounds: samples of every contestant.
    out: the directory of bench_cpu.json and bench_cpu.md.
    quick: measures tiny sizes, to try the plumbing; its numbers mean nothing.
  """

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

  Raises:
    KeyError: if an op is not known.
    ValueError: if rounds is not in 1 .. 10^6.
  """
  ranges.check(options, "--")
  table = cases.table(options.quick)
  tokens = {name: case.tokens for name, case in table.items()}
  names, results = selected(options.ops), []
  with Progress(len(names), "ops", resume=_LOST) as progress:
    for name in names:
      for group in groups(name, options.peers, options.against):
        say(f"measuring {', '.join(f'{c.case} ({c.who})' for c in group)}")
        rows = runner.measure(
          group,
          tokens,
          rounds=options.rounds,
          quick=options.quick,
          directions=table[name].directions,
        )
        # only rows of one group are compared: their contestants took turns
        results += [{"group": group[0].case, **row} for row in rows]
      progress.advance()
  return report.build(results, options.rounds, options.quick)


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns the exit code, 2 for a wrong argument."""
  import tyro  # the library is importable without its command line

  options = tyro.cli(BenchOptions, args=argv, prog="jaxmem bench")
  try:
    selected(options.ops)
    if options.against and not (options.against / "jaxmem").is_dir():
      raise ValueError(f"--against {options.against}: give the root of a checkout")
    outputs.make_directory(options.out)
    results = run(options)
  except (KeyError, ValueError) as error:
    print(f"jaxmem bench: {error.args[0]}", file=sys.stderr)
    return 2
  print()
  print(report.markdown(results))
  for path in report.write(results, options.out):
    print(path)
  return 0
