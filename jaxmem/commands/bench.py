"""times every op and its peers: jaxmem bench [--ops NAMES] [--peers] [--out DIR]"""

from jaxmem.core.options import Command, describe


def forms() -> list[Command]:
  """Returns what the command takes."""
  from jaxmem import bench

  return [describe("jaxmem bench", bench.BenchOptions())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem bench`."""
  from jaxmem import bench

  return bench.main(argv)
