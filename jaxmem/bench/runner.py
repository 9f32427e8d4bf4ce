"""The protocol: every contestant runs in its own process on one core, taking turns.

CPU time is measured, not wall time, because a machine is rarely idle. Turns are A B C,
C B A, ... because disturbances (heat, neighbours on the memory bus) change slowly.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from jaxmem.bench.case import DIRECTIONS, OURS

# All sides run under the same settings. glibc returns large buffers to the kernel after
# every call, and without huge pages both XLA and torch spend up to half of their time
# on page faults when they allocate these again.
SETTINGS = {
  "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
  "JAX_PLATFORMS": "cpu",
  "NPROC": "1",
  "OMP_NUM_THREADS": "1",
  "MKL_NUM_THREADS": "1",
}


class Contestant(NamedTuple):
  """A case, and the side that runs it.

  Attributes:
    case: a key of `cases.table`.
    who: `case.OURS`, a key of `peers.PEERS`, or the root of another checkout, which
      runs its own code of the case.
  """

  case: str
  who: str

  @property
  def root(self) -> Path:
    """The checkout that runs the contestant."""
    return Path(self.who) if "/" in self.who else Path(__file__).parents[2]


class WorkerError(RuntimeError):
  """Raised if a contestant's process died; the message is its last line."""


class Worker:
  """A contestant's process."""

  def __init__(self, contestant: Contestant, quick: bool):
    """Starts the process.

    Args:
      contestant: what it measures.
      quick: tiny sizes, samples of one call.
    """
    self.contestant = contestant
    self._stderr = tempfile.TemporaryFile("w+", errors="replace")
    root, who = contestant.root, contestant.who
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    case = contestant.case, OURS if str(root) == who else who
    self._process = subprocess.Popen(
      [sys.executable, "-m", "jaxmem.bench.worker", *case] + ["--quick"] * quick,
      cwd=root,  # `python -m` finds modules there first
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._stderr,
      text=True,
      env={**os.environ, **SETTINGS, "PYTHONPATH": path},
    )

  def ask(self, verb: str, direction: str) -> dict:
    """Returns the answer to a request, see `jaxmem.bench.worker`.

    Args:
      verb: "prepare" or "sample".
      direction: one of `DIRECTIONS`.

    Raises:
      WorkerError: if the process has died.
    """
    try:
      print(verb, direction, file=self._process.stdin, flush=True)
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ""
    if line:
      return json.loads(line)
    self._process.wait()
    self._stderr.seek(0)
    lines = self._stderr.read().strip().splitlines() or ["no word"]
    raise WorkerError(lines[-1])

  def close(self) -> None:
    """Ends the process."""
    try:
      self._process.stdin.close()
    except BrokenPipeError:
      pass
    self._process.wait()
    self._process.stdout.close()
    self._stderr.close()


def measure(
  contestants: Iterable[Contestant],
  tokens: dict[str, int],
  *,
  rounds: int,
  quick: bool = False,
  directions: tuple[str, ...] = DIRECTIONS,
) -> list[dict]:
  """Times contestants that take turns, in every direction.

  Args:
    contestants: the contestants of one group.
    tokens: case -> tokens of a call.
    rounds: samples of each contestant, >= 1.
    quick: tiny sizes, samples of one call.
    directions: those of `DIRECTIONS` to measure.

  Returns:
    For each contestant and direction a dict: case, who, direction, and either `error`
    or the seconds of a call (median, minimum, maximum, samples), calls a sample, ns a
    token, the bytes of XLA's temporary buffers (None for torch), and those of the
    differentiated inputs and of y.
  """
  workers = [Worker(c, quick) for c in contestants]
  try:
    results = []
    for direction in directions:
      results += _direction(workers, direction, tokens, rounds)
    return results
  finally:
    for worker in workers:
      worker.close()


def _direction(workers, direction, tokens, rounds):
  """Measures one direction; returns the rows of all contestants."""
  rows, samples = {}, {}

  def ask(worker, verb):
    """Returns the answer; of a dead process None, and its row gets the error."""
    row = rows[worker.contestant]
    try:
      return None if "error" in row else worker.ask(verb, direction)
    except WorkerError as error:
      row["error"] = str(error)

  for worker in workers:
    c = worker.contestant
    rows[c], samples[c] = {**c._asdict(), "direction": direction}, []
    rows[c] |= ask(worker, "prepare") or {}
  for turn in range(rounds):
    # there and back, so that a drift of the machine hits all contestants alike
    for worker in workers[:: 1 if turn % 2 == 0 else -1]:
      if answer := ask(worker, "sample"):
        samples[worker.contestant].append(answer["seconds"])
  for c, row in rows.items():
    if "error" not in row:
      row |= summary(samples[c], tokens[c.case])
  return list(rows.values())


def summary(seconds: list[float], tokens: int) -> dict:
  """Returns median, range and nanoseconds a token of samples.

  Args:
    seconds: the samples, seconds of a call each.
    tokens: tokens of a call.
  """
  median = statistics.median(seconds)
  return {
    "seconds": median,
    "minimum": min(seconds),
    "maximum": max(seconds),
    "samples": seconds,
    "ns_per_token": median / tokens * 1e9,
  }
