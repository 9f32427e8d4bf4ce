"""What was measured of the memories and is shown by `jaxmem memories`.

`measured.json` comes with the package; in a checkout `python -m tests.parity` and
`jaxmem laws --keep` write it.
"""

import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, float]]:
  """Kind of measurement -> memory -> number; empty where nothing was measured."""
  return json.loads(FILE.read_text()) if FILE.exists() else {}


def keep(kind: str, numbers: dict[str, float]) -> None:
  """Adds numbers to a kind, replacing those of the same names."""
  known = read()
  known[kind] = dict(sorted((known.get(kind, {}) | numbers).items()))
  FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
