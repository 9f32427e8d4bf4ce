"""The peers' side: what a user would call instead, as far as it is installed.

A peer gets the arrays of a case in the layout that suits it best, which costs none of
the measured time, and returns the same y in its layout. Each kind of memory has a file.
"""

import importlib.util

from jaxmem.bench.case import Peer
from jaxmem.bench.peers import attention, cells, decode, diagonal, matrix

PEERS: dict[str, Peer] = (
  attention.PEERS | diagonal.PEERS | cells.PEERS | matrix.PEERS | decode.PEERS
)


def is_installed(peer: Peer) -> bool:
  """Returns whether a peer can run here."""
  return all(importlib.util.find_spec(name) is not None for name in peer.modules)


def installed(case: str) -> list[str]:
  """Returns the peers of a case that can run here."""
  return [name for name, p in PEERS.items() if p.case == case and is_installed(p)]
