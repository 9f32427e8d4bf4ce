"""lists the packaged configs, or prints the file of one: jaxmem configs [NAME]"""

import argparse

from jaxmem import configs
from jaxmem.core import files


def main(argv: list[str]) -> int:
  """Runs `jaxmem configs`."""
  parser = argparse.ArgumentParser("jaxmem configs", description=__doc__)
  parser.add_argument(
    "name", nargs="?", help="print the file of this config, to save and change"
  )
  args = parser.parse_args(argv)
  if args.name:
    print(files.read_text(configs.path_of(args.name)), end="")
    return 0
  lines = configs.summaries()
  width = max(map(len, lines))
  for name, line in lines.items():
    print(f"{name:<{width}}  {line}")
  return 0
