"""The most memory that this process has held."""

import sys


def peak_memory() -> int:
  """Bytes, resident, since the process began."""
  import resource  # not on Windows

  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else peak * 1024
