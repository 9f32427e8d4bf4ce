"""Every op against an independent implementation, with all gradients, in float32.

A family of memories a file; each file's `CASES` is found by name. `minilm` asks a peer
with real weights, whose answers `test_minilm` reads; `blocks` whole models, whose
answers `test_reference_blocks` reads.
"""

import importlib
import pkgutil

from .harness import Case


def cases() -> list[Case]:
  """Returns the cases of all files, in the order of their names."""
  collected = []
  for info in pkgutil.iter_modules(__path__):
    is_block = info.name.startswith("blocks")
    if not is_block and info.name not in ("harness", "minilm", "__main__"):
      collected += importlib.import_module(f"{__name__}.{info.name}").CASES
  return collected
