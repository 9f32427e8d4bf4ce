"""The measurements of the memories that `jaxmem memories` prints.

`measured.json` comes with the package; in a checkout `python -m tests.parity` and
`jaxmem laws --keep` write it.
"""

from pathlib import Path

from jaxmem.core import files

FILE = Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, float]]:
  """Returns kind of measurement -> memory -> number; empty if nothing was measured."""
  return files.read_json(FILE) if FILE.exists() else {}


def keep(kind: str, numbers: dict[str, float]) -> None:
  """Adds numbers to a kind, replacing those of the same names."""
  numbers_by_kind = read()
  numbers_by_kind[kind] = dict(
    sorted((numbers_by_kind.get(kind, {}) | numbers).items())
  )
  # sorted and indented, since the file is under version control
  files.write_json(FILE, numbers_by_kind, indent=1, sort_keys=True)
