"""The peers' side: what a user would call instead, each only where it is installed.

A peer gets the arrays of a case in the layout it likes best, outside of the time that
is measured; it answers with the same y, in its layout. A kind of memory a file.
"""

import importlib.util

from jaxmem.bench.case import Peer
from jaxmem.bench.peers import attention, cells, decode, diagonal, matrix

PEERS: dict[str, Peer] = (
  attention.PEERS | diagonal.PEERS | cells.PEERS | matrix.PEERS | decode.PEERS
)


def is_installed(peer: Peer) -> bool:
  """Whether it can run here."""
  return all(importlib.util.find_spec(name) is not None for name in peer.modules)


def installed(case: str) -> list[str]:
  """The peers of a case that can run here."""
  return [name for name, p in PEERS.items() if p.case == case and is_installed(p)]
