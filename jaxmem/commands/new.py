"""writes a package to begin from: jaxmem new layer|task NAME [--out DIR]"""

import dataclasses
import importlib.util
import keyword
import re
import shutil
from pathlib import Path
from typing import ClassVar

from jaxmem.commands import check
from jaxmem.core import files, outputs
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import required

# Each kind has a folder of templates. The placeholder, and the class named after it,
# are replaced in the texts and in the names of the files.
TEMPLATES = Path(__file__).parent / "templates"
PLACEHOLDER = "my_{kind}"


@dataclasses.dataclass(frozen=True)
class Options:
  """Writes a package with a layer or a task of your own, which works, and its tests.

  Attributes:
    kind: what the package defines.
    name: that of the package: small letters, digits, underscores.
    out: the directory to write the package in.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem new layer leaky_sum",
    {"The package": ("kind", "name", "out")},
    places=("kind", "name"),
    words={"out": "DIR"},
  )

  kind: str = required("give layer or task", choices=("layer", "task"))
  name: str = required("give a name for the package, such as leaky_sum")
  out: str = "."


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem new", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem new`."""
  options = parse(Options, argv, "jaxmem new")
  check(options)
  package = Path(options.out) / options.name
  _check(options.kind, options.name, package)
  outputs.make_directory(options.out)
  write(options.kind, options.name, package)
  place = "" if options.out == "." else f" in {options.out}"
  print(f"wrote {package}, a {options.kind} that works; try it{place}:\n")
  print("\n".join(f"  {command}" for command in _next(options.kind, options.name)))
  return 0


def write(kind: str, name: str, package: str | Path) -> None:
  """Writes a template under another name.

  Args:
    kind: "layer" or "task".
    name: replaces that of the template.
    package: the folder to make.

  Raises:
    UserError: if the folder exists already, or cannot be written.
  """
  package, placeholder = Path(package), PLACEHOLDER.format(kind=kind)
  names = {placeholder: name, _class(placeholder): _class(name)}
  try:
    package.mkdir()
  except FileExistsError as error:
    raise UserError(
      f"{package} exists already, and nothing is overwritten: give another name, or "
      "another --out"
    ) from error
  except OSError as error:
    raise UserError(f"cannot make {package}: {error.strerror}") from error
  try:
    for path in sorted((TEMPLATES / kind).glob("*.py")):
      text = files.read_text(path)
      for old, new in names.items():
        text = text.replace(old, new)
      files.write_text(package / path.name.replace(placeholder, name), text)
  except OSError as error:
    shutil.rmtree(package, ignore_errors=True)
    raise UserError(f"cannot write {package}: {error.strerror}") from error


def _check(kind: str, name: str, package: Path) -> None:
  """Raises UserError unless a name can be that of a new package.

  A package would hide a module of its name that Python finds, or be hidden by it.
  """
  if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
    raise UserError(
      f"{name!r} is no name of a package: give small letters, digits and underscores, "
      "a letter first, such as leaky_sum"
    )
  members = _members(kind)
  if name in members:
    raise UserError(f"{name!r} is a {kind} of jaxmem already: give another name")
  spec = importlib.util.find_spec(name)
  if spec is not None and not package.exists():  # `write` refuses a folder that exists
    raise UserError(
      f"Python has a module {name!r} already ({spec.origin or 'built in'}): give "
      "another name"
    )


def _members(kind: str) -> list[str]:
  """Returns the names that are taken."""
  from jaxmem import mixers, tasks
  from jaxmem.layers import mlps
  from jaxmem.models import wrappers

  if kind == "task":
    return tasks.names()
  return [*mixers.names(), *wrappers.names(), *mlps.names(), "none"]  # of patterns


def _class(name: str) -> str:
  """Returns the class name of a package name: leaky_sum is LeakySum."""
  return "".join(part.capitalize() for part in name.split("_"))


def _next(kind: str, name: str) -> list[str]:
  """Returns commands that use the package, to run in the directory it is in."""
  use = f"jaxmem laws --plugins {name} {name}"
  if kind == "task":
    use = f"jaxmem train {name}/config.py --plugins {name} --workdir runs/{name}"
  return [f"pytest {name}", use]
