"""What was measured of the memories and is shown by `jaxmem memories`.

`measured.json` comes with the package; in a checkout `python -m tests.parity` and
`jaxmem laws --keep` write it.
"""

from pathlib import Path

from jaxmem.core import files

FILE = Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, float]]:
  """Kind of measurement -> memory -> number; empty where nothing was measured."""
  return files.read_json(FILE) if FILE.exists() else {}


def keep(kind: str, numbers: dict[str, float]) -> None:
  """Adds numbers to a kind, replacing those of the same names."""
  known = read()
  known[kind] = dict(sorted((known.get(kind, {}) | numbers).items()))
  files.write_json(FILE, known, indent=1, sort_keys=True)
