"""prints the table of memories: jaxmem memories"""

from jaxmem.commands import no_arguments
from jaxmem.evaluation import layer_table


def main(argv: list[str]) -> int:
  """Runs `jaxmem memories`."""
  no_arguments("memories", argv)
  print(layer_table.markdown())
  return 0
