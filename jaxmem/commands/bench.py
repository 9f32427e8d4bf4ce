"""times every op and its peers: jaxmem bench [--ops NAMES] [--peers] [--out DIR]"""

from jaxmem.commands import require


def main(argv: list[str]) -> int:
  """Runs `jaxmem bench`."""
  require("tyro")
  from jaxmem import bench

  return bench.main(argv)
