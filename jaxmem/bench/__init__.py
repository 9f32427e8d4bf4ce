"""`jaxmem bench`: our ops against what a user would call instead, on one core."""

import dataclasses
import sys
from pathlib import Path

from jaxmem.bench import cases, peers, report, runner, targets
from jaxmem.bench.case import OURS
from jaxmem.core import outputs, ranges, registry
from jaxmem.core.ranges import number

__all__ = ["Options", "groups", "main", "run"]


@dataclasses.dataclass(frozen=True)
class Options:
  """Measures time, memory and growth with the sequence of our ops.

  Attributes:
    ops: all, or names with commas between them; memories that are settings of another's
      op (kda, retention) and decode have names of their own.
    peers: measure also what other libraries offer, as far as they are installed.
    against: the root of another checkout, whose ops take turns with these.
    rounds: samples of every contestant.
    out: where bench_cpu.json and bench_cpu.md are written.
    quick: tiny sizes, to try the plumbing; its numbers mean nothing.
  """

  ops: str = "all"
  peers: bool = False
  against: Path | None = None
  rounds: int = number(5, at_least=1, at_most=10**6)
  out: Path = Path("runs/bench")
  quick: bool = False


def chosen(names: str) -> list[str]:
  """The ops that `--ops` names.

  Raises:
    KeyError: if there is no such op; the message names the nearest.
  """
  known = sorted(n for n in cases.table() if not n.endswith(("_short", "_long")))
  if names == "all":
    return known
  picked = [name.strip() for name in names.split(",") if name.strip()]
  if not picked:
    raise KeyError(f"--ops {names!r} names no op: give all, or of {', '.join(known)}")
  for name in picked:
    if name not in known:
      raise KeyError(f"no op {name!r} to measure: {registry.nearest(name, known)}")
  return picked


def groups(
  name: str, with_peers: bool, against: Path | None = None
) -> list[list[runner.Contestant]]:
  """Who takes turns with whom: a case with its peers, short calls with long ones."""
  own = lambda *names: [runner.Contestant(each, OURS) for each in names]
  others = peers.installed(name) if with_peers else []
  others += [str(against.absolute())] if against else []
  compared = [t.theirs for t in targets.targets() if t.ours == name]
  first = own(name, *(c for c, who in compared if who == OURS and c != name))
  first += [runner.Contestant(name, who) for who in others]
  growth = [n for n in (f"{name}_short", f"{name}_long") if n in cases.table()]
  return [first] + ([own(*growth)] if growth else [])


def run(options: Options) -> dict:
  """Measures, and returns the report (see `report.build`).

  Raises:
    KeyError: if an op is not known.
    ValueError: if rounds is not in 1 .. 10^6.
  """
  ranges.check(options, "--")
  table = cases.table(options.quick)
  tokens = {name: case.tokens for name, case in table.items()}
  results = []
  for name in chosen(options.ops):
    for group in groups(name, options.peers, options.against):
      print(f"measuring {', '.join(f'{c.case} ({c.who})' for c in group)}", flush=True)
      measured = runner.measure(
        group,
        tokens,
        rounds=options.rounds,
        quick=options.quick,
        directions=table[name].directions,
      )
      # what is compared was measured in one group, taking turns
      results += [{"group": group[0].case, **row} for row in measured]
  return report.build(results, options.rounds, options.quick)


def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit code, 2 for a wrong argument."""
  import tyro  # the library is importable without its command line

  options = tyro.cli(Options, args=argv, prog="jaxmem bench")
  try:
    chosen(options.ops)
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
