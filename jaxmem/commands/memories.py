"""prints the table of memories: jaxmem memories"""

import dataclasses
from typing import ClassVar

from jaxmem.core.command_line import parse
from jaxmem.core.options import Command, Page, describe


@dataclasses.dataclass(frozen=True)
class Options:
  """Prints the memories as a table: paper, state, forms, and what was measured."""

  PAGE: ClassVar[Page] = Page("jaxmem memories")


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem memories", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem memories`."""
  parse(Options, argv, "jaxmem memories")
  from jaxmem.evaluation import layer_table

  print(layer_table.markdown())
  return 0
