"""python -m tests.guard record | losses FILE | check [--against TREE_OR_FILE]

`record` writes `golden/` with the code at hand: only if what it guards has to change.
`losses` writes what all runs do from their beginning to a file. `check` compares that
with what was recorded or, bit by bit, with another tree or its file. Names behind it
are of runs; all by default.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def _prepare() -> None:
  """Compiles, and makes devices, as the tests do; before anything is computed."""
  sys.path.insert(0, str(ROOT / "tests"))
  import conftest  # eight devices, strict dtypes, the cache

  os.environ |= conftest.QUICK
  import jax

  jax.config.update("jax_disable_most_optimizations", True)


def _record(names: list[str], place: Path) -> None:
  import jax

  from . import observed

  known = observed.numbers() if observed.NUMBERS.exists() else {}
  for name in names:
    workdir, saved = observed.cut(name, place / "cut" / name)
    observed.pack(name, workdir, place / "packed" / name)
    again = place / "again" / name
    again.mkdir(parents=True)
    workdir.parent.rename(place / "cut" / f"{name}.gone")  # its data are elsewhere now
    losses, scores, seen = observed.resumed(name, again)
    assert seen.restored == saved, f"{name}: restored is not what was saved"
    known[name] = observed.as_numbers(losses, scores) | {
      "params": seen.params,
      "state": saved,
      "jax": jax.__version__,
    }
    size = observed.archive(name).stat().st_size
    print(f"{name}: {size:,} bytes, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
  if "text" in names:
    known["session"] = _session(place)
  observed.NUMBERS.write_text(json.dumps(known, indent=1) + "\n")


def _session(place: Path) -> dict[str, Any]:
  from . import observed

  workdir = observed.unpacked("text", place / "session")
  given = "--workdir", str(workdir), "--max-tokens"
  keep = "--save-state", str(observed.SESSION)
  begun = observed.generated(
    *given, str(observed.TOKENS), "--prompt", observed.PROMPT, *keep
  )
  load = "--load-state", str(observed.SESSION)
  next_ = observed.generated(*given, str(observed.TOKENS), *load)
  return {"begun": begun, "next": next_}


def _losses(names: list[str], place: Path) -> dict[str, Any]:
  from . import observed

  return {name: observed.whole(name, place / name) for name in names}


def _of(tree: Path, names: list[str], out: Path) -> dict[str, Any]:
  """What another tree does, from a process of its own."""
  command = [sys.executable, "-m", "tests.guard", "losses", str(out), *names]
  environment = os.environ | {"PYTHONPATH": str(tree)}
  subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
  return json.loads(out.read_text())


def _compare(ours: dict[str, Any], theirs: dict[str, Any], exact: bool) -> int:
  """Prints a table; returns how many runs differ."""
  print("| run | losses alike | largest relative difference | scores alike |")
  print("| --- | --- | --- | --- |")
  bad = 0
  for name, own in ours.items():
    other = theirs[name]
    pairs = list(zip(own["losses"], other["losses"], strict=True))
    alike = sum(a == b for a, b in zip(own["hex"], other["hex"], strict=True))
    worst = max(abs(a - b) / abs(b) for a, b in pairs)
    scores = own["scores"] == other["scores"]
    bad += not (alike == len(pairs) and scores) if exact else worst > 2e-5
    print(f"| {name} | {alike} of {len(pairs)} | {worst:.1e} | {scores} |")
  return bad


def main(argv: list[str]) -> int:
  """Returns 0, or 1 if a run differs."""
  parser = argparse.ArgumentParser("python -m tests.guard", description=__doc__)
  parser.add_argument("command", choices=["record", "losses", "check"])
  parser.add_argument("names", nargs="*")
  parser.add_argument("--against", type=Path)
  given = parser.parse_args(argv)
  _prepare()
  from . import observed
  from .cases import CASES

  out = given.names.pop(0) if given.command == "losses" else ""
  names = given.names or list(CASES)
  with tempfile.TemporaryDirectory(prefix="jaxmem-guard-") as folder:
    place = Path(folder)
    os.environ["JAXMEM_DATA_DIR"] = str(place / "data")
    if given.command == "record":
      _record(names, place)
      return 0
    ours = _losses(names, place / "runs")
    if given.command == "losses":
      Path(out).write_text(json.dumps(ours, indent=1) + "\n")
      return 0
    if given.against is None:
      return bool(_compare(ours, observed.numbers(), exact=False))
    if given.against.is_dir():
      theirs = _of(given.against.absolute(), names, place / "theirs.json")
    else:
      theirs = json.loads(given.against.read_text())
    return bool(_compare(ours, theirs, exact=True))


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
