"""The peak memory of this process."""

import sys


def peak_memory() -> int:
  """Returns the most resident bytes since the process began."""
  import resource  # not on Windows

  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
