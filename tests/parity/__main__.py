"""Runs the installed peers: python -m tests.parity [OP ...] > results/parity.md

Writes `golden/` for every peer that is installed, prints the errors of all, and keeps
the worst of each memory for `jaxmem memories`.
"""

import importlib
import importlib.metadata
import sys

from jaxmem.evaluation import measured

from . import cases
from .harness import KINDS, ask, measure

PACKAGES = (
  "jax", "torch", "transformers", "flash-linear-attention", "accelerated-scan",
  "recurrentgemma", "memax", "memorax", "keras", "xlstm",
)  # fmt: skip


def _row(cells) -> str:
  return "| " + " | ".join(cells) + " |"


def main(names: list[str]) -> None:
  """Prints the worst relative error of every op, form and quantity."""
  installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
  peers = [p for p in PACKAGES if p in installed]
  versions = [f"{p} {importlib.metadata.version(p)}" for p in peers]
  print("# Parity with other people's code\n")
  print("Worst |ours - theirs| over the largest |theirs|, float32, CPU. Written by")
  print("`python -m tests.parity`. Peers: " + ", ".join(versions) + ".")
  print("For attention the final state is the log of the softmax's denominator.\n")
  print(_row(["op", "form", "peer", *KINDS]))
  print(_row(["---"] * (3 + len(KINDS))))
  worst_errors: dict[str, float] = {}
  for case in cases():
    if names and case.op not in names:
      continue
    try:
      importlib.import_module(case.module)
      ask(case)
    except (ImportError, AttributeError) as error:  # absent, or of another version
      print(f"{case.op}: kept the old answers of {case.peer}: {error}", file=sys.stderr)
    for form in case.forms:
      errors = measure(case, form)
      cells = [f"{errors[kind][0]:.1e}" if kind in errors else "" for kind in KINDS]
      print(_row([case.op, form, case.peer, *cells]), flush=True)
      worst = max(relative for relative, _ in errors.values())
      name = case.op.removesuffix(" layer")
      worst_errors[name] = max(worst, worst_errors.get(name, 0.0))
  measured.keep("parity", worst_errors)


if __name__ == "__main__":
  main(sys.argv[1:])
