"""Shows how far the reading of a long text is, on a terminal or in a log."""

import sys
import time

from jaxmem.tasks.language_modeling.perplexity import Result

# Seconds between plain lines of progress.
SECONDS = 5


class Meter:
  """Shows a tqdm bar on a terminal, and prints a line every few seconds otherwise."""

  def __init__(self, size: int, num_read: int = 0):
    """Starts the clock.

    Args:
      size: the bytes of the whole text.
      num_read: the bytes that an earlier process has read.
    """
    self._size, self._begun, self._begin = size, num_read, time.monotonic()
    self._printed, self._bar = self._begin, None
    if sys.stderr.isatty():
      import tqdm

      self._bar = tqdm.tqdm(total=size, initial=num_read, unit="B", unit_scale=True)

  @property
  def seconds(self) -> float:
    """The seconds since the beginning."""
    return time.monotonic() - self._begin

  def update(self, result: Result) -> None:
    """Shows the result so far."""
    now = time.monotonic()
    bits = next(iter(result.bits_per_byte().values()))
    if self._bar is not None:
      self._bar.set_postfix_str(f"{bits:.3f} bits/byte")
      self._bar.update(result.num_bytes - self._bar.n)
    elif now - self._printed >= SECONDS:
      self._printed = now
      # the rate of this process alone: an earlier one may have been faster
      rate = max(result.num_bytes - self._begun, 1) / (now - self._begin)
      remaining = (self._size - result.num_bytes) / rate
      print(
        f"{result.num_bytes:,} of {self._size:,} bytes  "
        f"{bits:.3f} bits/byte  {rate:,.0f} bytes/s  {remaining / 60:.1f} min left",
        flush=True,
      )

  def close(self) -> float:
    """Closes the bar and returns the seconds since the beginning."""
    if self._bar is not None:
      self._bar.close()
    return self.seconds
