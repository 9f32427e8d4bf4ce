"""Experiments to train by name, `jaxmem train quickstart`: one config a file.

    from jaxmem.configs.quickstart import config

This module finds them and imports none: a config imports the models and tasks it is of.
"""

import ast
import sys
from pathlib import Path

from jaxmem.core import files
from jaxmem.core.errors import UserError
from jaxmem.core.registry import nearest

FOLDER = Path(__file__).parent
# Where the configs were before 0.2: in the checkout, beside the package.
_FORMER = Path("configs")


def names() -> list[str]:
  """Returns the names of the packaged configs, sorted."""
  return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def summaries() -> dict[str, str]:
  """Maps the name of each packaged config to what it trains; imports none of them."""
  return {name: summary(path_of(name)) for name in names()}


def path_of(name: str) -> Path:
  """Returns the file of a packaged config.

  Args:
    name: of the config.

  Raises:
    UserError: if there is none of this name; names the nearest.
  """
  if name not in names():
    raise UserError(
      f"no config {name!r} (`jaxmem configs` lists them): {nearest(name, names())}"
    )
  return FOLDER / f"{name}.py"


def find(text: str | Path) -> Path:
  """Returns the file that a name or a path means.

  A word without a separator that does not end in .py is the name of a packaged config.
  The path configs/NAME.py, at which older checkouts had them, is that of a packaged one
  if there is no such file.

  Args:
    text: the name or the path.

  Raises:
    UserError: if it is a name that no config has.
  """
  path = Path(text)
  is_name = path.name == str(text) and path.suffix != ".py"
  if is_name and (path.name in names() or not path.exists()):
    return path_of(path.name)
  if path.parent == _FORMER and path.stem in names() and not path.exists():
    print(f"jaxmem: {path} is now the config {path.stem}", file=sys.stderr)
    return path_of(path.stem)
  return path


def summary(path: Path) -> str:
  """Returns the first line of the docstring of a config's file, which is not run.

  Args:
    path: of the file.
  """
  docstring = ast.get_docstring(ast.parse(files.read_text(path))) or ""
  return docstring.partition("\n")[0]
