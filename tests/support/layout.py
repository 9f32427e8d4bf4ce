"""Writes the generated parts of the documents: python -m tests.support.layout

They are the tree of the package in docs/layout.md, which shows the first line of each
file's docstring, the table of memories in the README, and the stubs of type checkers,
see `tests.support.stubs`. Tests compare all.
"""

import ast
import re
from pathlib import Path

from jaxmem.evaluation import layer_table
from tests.support import stubs

ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "layout.md", ROOT / "README.md"
_WIDTH = 26
_HEAD = """\
# The layout of the package

Imports point down this list: a package imports those below it. Printed by
`python -m tests.support.layout`.
"""
# From the top of the import graph to its bottom.
ORDER = (
  "commands configs evaluation finetune training tasks bench testing interop "
  "generation models mixers layers runtime parallel data ops tokenizers core"
).split()


# Folders whose files are not named: docs/quickstart.md has a table of the configs.
LISTED_ELSEWHERE = ("configs",)


def page() -> str:
  """Returns the text of docs/layout.md for the current files."""
  package = ROOT / "jaxmem"
  lines = ["```text", "jaxmem/"]
  lines += [_line(package / name, 1) for name in ("__init__.py", "cli.py")]
  for name in ORDER:
    lines += _folder(package / name, 1)
  return "\n".join([_HEAD, *lines, "```", ""])


def _folder(folder: Path, depth: int) -> list[str]:
  """Returns the lines of a folder: itself, its folders, its files."""
  lines = [_entry(f"{folder.name}/", _first_line(folder / "__init__.py"), depth)]
  if folder.name in LISTED_ELSEWHERE:
    return lines
  for path in sorted(folder.iterdir()):
    if path.is_dir() and (path / "__init__.py").exists():
      lines += _folder(path, depth + 1)
  for path in sorted(folder.glob("*.py")):
    if path.stem not in ("__init__", "__main__"):
      lines.append(_line(path, depth + 1))
  return lines


def _line(path: Path, depth: int) -> str:
  return _entry(path.stem, _first_line(path), depth)


def _entry(name: str, text: str, depth: int) -> str:
  return f"{'  ' * depth + name:<{_WIDTH}} {text}".rstrip()


def _first_line(path: Path) -> str:
  docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
  return docstring.partition("\n")[0]


def readme() -> str:
  """Returns the README with the current table of memories."""
  table = layer_table.markdown().rstrip()
  text = README.read_text()
  return re.sub(r"\| memory \| what \|.*?(?=\n\n)", lambda _: table, text, flags=re.S)


if __name__ == "__main__":
  PAGE.write_text(page())
  README.write_text(readme())
  for path, text in stubs.stubs().items():
    path.write_text(text)
