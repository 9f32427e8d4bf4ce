"""Stopping a run by a signal, at a step that all processes agree on."""

import contextlib
import os
import signal

from jaxmem.parallel import distributed

# The answer to the first signal.
_STOPPING = "it stops once what is done is saved; a second one stops it at once"


class Stop:
  """SIGTERM and Ctrl-C ask the loop to stop after its step; a second one kills.

  With several processes JAX passes a SIGTERM of any one of them on to all, and they
  agree on the step; Ctrl-C becomes a SIGTERM.

  Attributes:
    requested: the name of the signal that asked to stop, None if none did.
  """

  def __init__(self):
    self.requested = None

  def __enter__(self) -> "Stop":
    numbers = (signal.SIGTERM, signal.SIGINT)
    if distributed.several():
      numbers = (signal.SIGINT,)  # JAX itself listens to SIGTERM
    self._old = {number: signal.signal(number, self._ask) for number in numbers}
    return self

  def _ask(self, number, frame):
    self.requested = signal.Signals(number).name
    self._restore()  # a second signal does what it did before
    if distributed.primary():
      # not by `print`, which the signal may have interrupted
      with contextlib.suppress(OSError):
        os.write(2, f"\njaxmem: {self.requested}: {_STOPPING}\n".encode())
    if distributed.several():
      os.kill(os.getpid(), signal.SIGTERM)

  def after(self, step: int) -> bool:
    """Returns whether the run ends after a step; every process calls it at each."""
    if not distributed.several():
      return self.requested is not None
    if distributed.reached_preemption(step):
      self.requested = "SIGTERM"
      return True
    return False

  def _restore(self):
    for number, old in self._old.items():
      signal.signal(number, old)

  def __exit__(self, *exception: object) -> None:
    self._restore()
