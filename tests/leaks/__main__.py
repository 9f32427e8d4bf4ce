"""Runs laws 3 to 6 over other people's layers: python -m tests.leaks [PEER ...]

Writes `results/leaks.json` and `results/leaks.md`. Of a peer that is not installed here
the rows of an earlier run are kept; where there are none, the page says why it was not
run. No one environment holds all peers: MaxText asks for a newer Python and JAX than
torch's layers were run with, and EasyDeL for an older transformers.
"""

import dataclasses
import importlib
import importlib.metadata
import json
import logging
import platform
import sys
from pathlib import Path

import jax

RESULTS = Path(__file__).parents[2] / "results"
PEERS = {
  "ours": ("jax", "flax"),
  "transformers_layers": ("torch", "transformers"),
  "fla_ops": ("torch", "flash-linear-attention"),
  "xlstm_layers": ("torch", "xlstm"),
  "flax_layers": ("jax", "flax"),
  "memax_layers": ("jax", "memax", "equinox"),
  "maxtext_layers": ("jax", "flax", "maxtext"),
  "easydel_layers": ("jax", "flax", "easydel"),
}
NEVER = {
  "fla's layers and kernels, with `cu_seqlens`": "no GPU: they are Triton's",
  "mamba-ssm and causal-conv1d, behind transformers' layers": "no GPU: they are CUDA's",
}


def _version(package: str) -> str:
  return importlib.metadata.version(package)


def _versions(packages: tuple[str, ...]) -> str:
  python = f"Python {platform.python_version()}"
  return ", ".join([python, *(f"{p} {_version(p)}" for p in packages)])


def _rows(peer: str) -> dict[str, dict]:
  """Returns the rows of a peer; raises whatever its import raises."""
  from .measure import measured

  module = importlib.import_module(f"{__package__}.{peer}")
  rows = {}
  for layer in module.layers():
    print(layer.name, file=sys.stderr, flush=True)
    kept = ("package", "path", "told", "claims", "state_dtypes", "note")
    fields = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)}
    row = {name: fields[name] for name in kept} | measured(layer)
    versions = {"version": _version(layer.package), "versions": _versions(PEERS[peer])}
    rows[layer.name] = {"peer": peer} | row | versions
  return rows


def main(names: list[str]) -> None:
  """Runs the peers named, or all of them, and writes the page.

  Args:
    names: keys of `PEERS`.
  """
  from .report import page

  unknown = set(names) - set(PEERS)
  if unknown:
    sys.exit(f"no peer {', '.join(unknown)}: {', '.join(PEERS)}")
  # what a refusal says is kept in the table
  logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)
  jax.config.update("jax_disable_most_optimizations", True)
  found: dict[str, dict] = {}
  absent: dict[str, str] = {}
  for peer in names or PEERS:
    try:
      _version(PEERS[peer][-1])  # what is not installed is told from what fails
      found[peer] = _rows(peer)
    except (ImportError, RuntimeError) as error:
      absent[peer] = f"{type(error).__name__}: {error}".splitlines()[0]
      print(f"{peer}: {error}", file=sys.stderr)
  path = RESULTS / "leaks.json"
  table = json.loads(path.read_text()) if path.exists() else {}
  rows = {k: v for k, v in table.get("rows", {}).items() if v["peer"] not in found}
  for new in found.values():
    rows |= new
  run = {row["peer"] for row in rows.values()}
  not_run = table.get("not_run", {}) | absent
  not_run = {name: why for name, why in not_run.items() if name not in run} | NEVER
  order = list(PEERS)
  rows = dict(sorted(rows.items(), key=lambda item: order.index(item[1]["peer"])))
  table = {"rows": rows, "not_run": not_run}
  path.write_text(json.dumps(table, indent=1) + "\n")
  path.with_suffix(".md").write_text(page(table))


if __name__ == "__main__":
  main(sys.argv[1:])
