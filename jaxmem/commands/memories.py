"""prints the table of memories: jaxmem memories"""

from jaxmem import table
from jaxmem.commands import no_arguments


def main(argv: list[str]) -> int:
  """`jaxmem memories`."""
  no_arguments("memories", argv)
  print(table.markdown())
  return 0
