"""Builds the site into site/ and checks that it needs no network: python -m docs.build

The extra `docs` has what it needs: pip install -e '.[docs]'.
"""

import os
import sys
from pathlib import Path

from docs.tools import offline

ROOT = Path(__file__).parents[1]


def main() -> int:
  """Builds the site; any warning of MkDocs is an error."""
  from mkdocs.commands import build
  from mkdocs.config import load_config

  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
  os.chdir(ROOT)
  config = load_config("mkdocs.yml", strict=True)
  config.plugins.on_startup(command="build", dirty=False)
  build.build(config)
  fetched = offline.fetched(Path(config.site_dir))
  for line in fetched:
    print(line, file=sys.stderr)
  if not fetched:
    print(f"{config.site_dir}/index.html opens without a network")
  return 1 if fetched else 0


if __name__ == "__main__":
  sys.exit(main())
