"""Checks what is in a built wheel and source distribution.

    python -m build && python -m tests.support.distribution dist

The wheel has every file of `jaxmem/`, and nothing else but its metadata; the source
distribution has every file that builds and tests the package.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the source distribution has, beside the package.
SOURCES = (
  ".ci", "colab", "docs", "results", "tests", "CHANGELOG.md", "CITATION.cff",
  "CONTRIBUTING.md", "LICENSE", "README.md", "mkdocs.yml", "pyproject.toml",
)  # fmt: skip


def files(*names: str) -> set[str]:
  """Returns the files of the checkout below some paths, relative to its root."""
  found = set()
  for name in names:
    path = ROOT / name
    paths = path.rglob("*") if path.is_dir() else [path]
    found |= {str(p.relative_to(ROOT)) for p in paths if p.is_file()}
  return {name for name in found if "__pycache__" not in name}


def faults(folder: Path) -> list[str]:
  """Returns what is missing in the two files of a folder, or should not be there.

  Args:
    folder: that of `python -m build`, with one wheel and one source distribution.
  """
  (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
  with zipfile.ZipFile(wheel) as file:
    packed = {n for n in file.namelist() if ".dist-info/" not in n}
  with tarfile.open(archive) as file:
    source = {n.partition("/")[2] for n in file.getnames()}
  package = files("jaxmem")
  return [
    *(f"{wheel.name} lacks {name}" for name in sorted(package - packed)),
    *(f"{wheel.name} should not have {name}" for name in sorted(packed - package)),
    *(
      f"{archive.name} lacks {name}"
      for name in sorted((package | files(*SOURCES)) - source)
    ),
  ]


if __name__ == "__main__":
  found = faults(Path(sys.argv[1]))
  print("\n".join(found) or "the wheel and the source distribution are complete")
  sys.exit(bool(found))
