"""Whole small models of known families against the peers' own, nothing but a config.

    python -m tests.parity.blocks [NAME ...]

asks the installed peers and writes `golden/`. Every parameter is drawn at random, those
of norms too, and documents are packed.
"""

import sys

from . import blocks_attention, blocks_recurrent
from .harness import ask

BLOCKS = blocks_attention.BLOCKS + blocks_recurrent.BLOCKS

if __name__ == "__main__":
  for case in BLOCKS:
    if sys.argv[1:] in ([], [case.op.removeprefix("block ")]):
      ask(case)
