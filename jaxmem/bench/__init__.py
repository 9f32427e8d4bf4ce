"""`jaxmem bench`: our ops against what a user would call instead, on one core."""

import dataclasses
import sys
from pathlib import Path

from jaxmem import registry
from jaxmem.bench import cases, peers, report, runner

__all__ = ["Options", "groups", "main", "run"]


@dataclasses.dataclass(frozen=True)
class Options:
  """Measures time, memory and growth with the sequence of our ops.

  Attributes:
    ops: all, or names with commas between them.
    peers: measure also what other libraries offer, as far as they are installed.
    rounds: samples of every contestant.
    out: where bench_cpu.json and bench_cpu.md are written.
    quick: tiny sizes, to try the plumbing; its numbers mean nothing.
  """

  ops: str = "all"
  peers: bool = False
  rounds: int = 5
  out: Path = Path("runs/bench")
  quick: bool = False


def chosen(names: str) -> list[str]:
  """The ops that `--ops` names.

  Raises:
    KeyError: if there is no such op; the message names the nearest.
  """
  known = sorted({case.op for case in cases.table().values()})
  if names == "all":
    return known
  picked = [name.strip() for name in names.split(",") if name.strip()]
  for name in picked:
    if name not in known:
      raise KeyError(f"no op {name!r} to measure: {registry.nearest(name, known)}")
  return picked


def groups(op: str, with_peers: bool) -> list[list[runner.Contestant]]:
  """Who takes turns with whom: an op with its peers, short calls with long ones."""
  named = lambda *names: [runner.Contestant(name, cases.OURS) for name in names]
  against = peers.installed(op) if with_peers else []
  first = named(op) + [runner.Contestant(op, who) for who in against]
  growth = [n for n in (f"{op}_short", f"{op}_long") if n in cases.table()]
  return [first] + ([named(*growth)] if growth else [])


def run(options: Options) -> dict:
  """Measures, and returns the report (see `report.build`).

  Raises:
    KeyError: if an op is not known.
    ValueError: if rounds < 1.
  """
  if options.rounds < 1:
    raise ValueError(f"rounds is {options.rounds}: it must be at least 1")
  table = cases.table(options.quick)
  tokens = {name: case.tokens for name, case in table.items()}
  results = []
  for op in chosen(options.ops):
    for group in groups(op, options.peers):
      print(f"measuring {', '.join(f'{c.case} ({c.who})' for c in group)}", flush=True)
      results += runner.measure(
        group, tokens, rounds=options.rounds, quick=options.quick
      )
  return report.build(results, options.rounds, options.quick)


def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit code, 2 for a wrong argument."""
  import tyro  # the library is importable without its command line

  options = tyro.cli(Options, args=argv, prog="jaxmem bench")
  try:
    results = run(options)
  except (KeyError, ValueError) as error:
    print(f"jaxmem bench: {error.args[0]}", file=sys.stderr)
    return 2
  print()
  print(report.markdown(results))
  for path in report.write(results, options.out):
    print(path)
  return 0
