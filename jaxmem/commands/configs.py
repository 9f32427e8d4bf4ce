"""lists the packaged configs, or prints the file of one: jaxmem configs [NAME]"""

import dataclasses
from typing import ClassVar

from jaxmem import configs
from jaxmem.core import files
from jaxmem.core.command_line import parse
from jaxmem.core.options import Command, Page, describe


@dataclasses.dataclass(frozen=True)
class Options:
  """Lists the configs that `jaxmem train` takes by name, or prints the file of one.

  Attributes:
    name: prints the file of this config, to save and change.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem configs quickstart > mine.py",
    {"What is printed": ("name",)},
    places=("name",),
  )

  name: str = ""


def forms() -> list[Command]:
  """Returns what the command takes."""
  command = describe("jaxmem configs", Options())
  (name,) = command.options
  # for completion; `configs.path_of` refuses other names
  name = dataclasses.replace(name, choices=tuple(configs.names()))
  return [command._replace(options=(name,))]


def main(argv: list[str]) -> int:
  """Runs `jaxmem configs`."""
  options = parse(Options, argv, "jaxmem configs")
  if options.name:
    print(files.read_text(configs.path_of(options.name)), end="")
    return 0
  lines = configs.summaries()
  width = max(map(len, lines))
  for name, line in lines.items():
    print(f"{name:<{width}}  {line}")
  return 0
