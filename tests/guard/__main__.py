"""python -m tests.guard record | losses FILE | check [--against TREE_OR_FILE]

`record` writes `golden/` with the current code; use it only if the guarded numbers have
to change. `losses` writes the losses and scores of complete runs to a file. `check`
compares these with the recorded ones or, bit by bit, with those of another tree or a
file. Names after the command choose runs; all are run by default.
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
  """Sets compilation and devices as the tests do, before anything is computed."""
  sys.path.insert(0, str(ROOT / "tests"))
  import conftest  # eight devices, strict dtypes, the cache

  os.environ |= conftest.QUICK
  import jax

  jax.config.update("jax_disable_most_optimizations", True)


def _record(names: list[str], directory: Path) -> None:
  """Records runs and checks that the archives resume from the saved state."""
  import jax

  from . import observed

  numbers = observed.numbers() if observed.NUMBERS.exists() else {}
  for name in names:
    workdir, saved = observed.stopped(name, directory / "cut" / name)
    observed.pack(name, workdir, directory / "packed" / name)
    again = directory / "again" / name
    again.mkdir(parents=True)
    # a resumed run must not depend on where its data were
    workdir.parent.rename(directory / "cut" / f"{name}.gone")
    losses, scores, watch = observed.resumed(name, again)
    assert watch.restored == saved, f"{name}: restored is not what was saved"
    numbers[name] = observed.as_numbers(losses, scores) | {
      "params": watch.params,
      "state": saved,
      "jax": jax.__version__,
    }
    size = observed.archive(name).stat().st_size
    print(f"{name}: {size:,} bytes, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
  if "text" in names:
    numbers["session"] = _session(directory)
  observed.NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n")


def _session(directory: Path) -> dict[str, Any]:
  """Records a session of `jaxmem generate`, and its continuation."""
  from . import observed

  workdir = observed.unpacked("text", directory / "session")
  arguments = "--workdir", str(workdir), "--max-tokens"
  keep = "--save-state", str(observed.SESSION)
  first = observed.generated(
    *arguments, str(observed.TOKENS), "--prompt", observed.PROMPT, *keep
  )
  load = "--load-state", str(observed.SESSION)
  next_ = observed.generated(*arguments, str(observed.TOKENS), *load)
  return {"begun": first, "next": next_}


def _losses(names: list[str], directory: Path) -> dict[str, Any]:
  from . import observed

  return {name: observed.trained(name, directory / name) for name in names}


def _of(tree: Path, names: list[str], out: Path) -> dict[str, Any]:
  """Returns the losses and scores of another tree, computed in its own process."""
  command = [sys.executable, "-m", "tests.guard", "losses", str(out), *names]
  environment = os.environ | {"PYTHONPATH": str(tree)}
  subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
  return json.loads(out.read_text())


def _compare(ours: dict[str, Any], theirs: dict[str, Any], exact: bool) -> int:
  """Prints a table of the differences, and returns how many runs differ."""
  print("| run | losses alike | largest relative difference | scores alike |")
  print("| --- | --- | --- | --- |")
  bad = 0
  for name, run in ours.items():
    other = theirs[name]
    pairs = list(zip(run["losses"], other["losses"], strict=True))
    alike = sum(a == b for a, b in zip(run["hex"], other["hex"], strict=True))
    worst = max(abs(a - b) / abs(b) for a, b in pairs)
    scores = run["scores"] == other["scores"]
    bad += not (alike == len(pairs) and scores) if exact else worst > 2e-5
    print(f"| {name} | {alike} of {len(pairs)} | {worst:.1e} | {scores} |")
  return bad


def main(argv: list[str]) -> int:
  """Returns 0, or 1 if a run differs."""
  parser = argparse.ArgumentParser("python -m tests.guard", description=__doc__)
  parser.add_argument("command", choices=["record", "losses", "check"])
  parser.add_argument("names", nargs="*")
  parser.add_argument("--against", type=Path)
  options = parser.parse_args(argv)
  _prepare()
  from . import observed
  from .cases import CASES

  out = options.names.pop(0) if options.command == "losses" else ""
  names = options.names or list(CASES)
  with tempfile.TemporaryDirectory(prefix="jaxmem-guard-") as folder:
    directory = Path(folder)
    os.environ["JAXMEM_DATA_DIR"] = str(directory / "data")
    if options.command == "record":
      _record(names, directory)
      return 0
    ours = _losses(names, directory / "runs")
    if options.command == "losses":
      Path(out).write_text(json.dumps(ours, indent=1) + "\n")
      return 0
    if options.against is None:
      return bool(_compare(ours, observed.numbers(), exact=False))
    if options.against.is_dir():
      theirs = _of(options.against.absolute(), names, directory / "theirs.json")
    else:
      theirs = json.loads(options.against.read_text())
    return bool(_compare(ours, theirs, exact=True))


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
