"""The protocol: every contestant in its own process, on one core, taking turns.

CPU time and not wall time, because a machine is rarely alone; turns A B C, C B A, ...
because what disturbs (heat, neighbours on the memory bus) changes slowly.
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

# The same for all sides. glibc gives buffers back after every call, and without huge
# pages both XLA and torch spend up to half of their time on faulting them in again.
SETTINGS = {
  "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
  "JAX_PLATFORMS": "cpu",
  "NPROC": "1",
  "OMP_NUM_THREADS": "1",
  "MKL_NUM_THREADS": "1",
}


class Contestant(NamedTuple):
  """A case and who runs it.

  Attributes:
    case: a key of `cases.table`.
    who: `case.OURS`, a key of `peers.PEERS`, or the root of another checkout, whose
      side of the case it is then.
  """

  case: str
  who: str

  @property
  def root(self) -> Path:
    """Where the code of a contestant of ours is."""
    return Path(self.who) if "/" in self.who else Path(__file__).parents[2]


class WorkerError(RuntimeError):
  """A contestant's process died; the message is the last it said."""


class Worker:
  """A contestant's process."""

  def __init__(self, contestant: Contestant, quick: bool):
    self.contestant = contestant
    self._said = tempfile.TemporaryFile("w+", errors="replace")
    root, who = contestant.root, contestant.who
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    case = contestant.case, OURS if str(root) == who else who
    self._process = subprocess.Popen(
      [sys.executable, "-m", "jaxmem.bench.worker", *case] + ["--quick"] * quick,
      cwd=root,  # `-m` looks there first
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._said,
      text=True,
      env={**os.environ, **SETTINGS, "PYTHONPATH": path},
    )

  def ask(self, verb: str, direction: str) -> dict:
    """The answer to a request.

    Raises:
      WorkerError: if there is none.
    """
    try:
      print(verb, direction, file=self._process.stdin, flush=True)
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ""
    if line:
      return json.loads(line)
    self._process.wait()
    self._said.seek(0)
    lines = self._said.read().strip().splitlines() or ["no word"]
    raise WorkerError(lines[-1])

  def close(self) -> None:
    """Ends the process."""
    try:
      self._process.stdin.close()
    except BrokenPipeError:
      pass
    self._process.wait()
    self._process.stdout.close()
    self._said.close()


def measure(
  contestants: Iterable[Contestant],
  tokens: dict[str, int],
  *,
  rounds: int,
  quick: bool = False,
  directions: tuple[str, ...] = DIRECTIONS,
) -> list[dict]:
  """Times contestants against each other, in every direction.

  Args:
    contestants: who takes turns.
    tokens: case -> tokens of a call.
    rounds: samples of each, >= 1.
    quick: tiny sizes, samples of one call.
    directions: of `DIRECTIONS`.

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
  rows, samples = {}, {}

  def ask(worker, verb):
    """The answer, or None from the dead, whose row then says what they died of."""
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
    for worker in workers[:: 1 if turn % 2 == 0 else -1]:
      if answer := ask(worker, "sample"):
        samples[worker.contestant].append(answer["seconds"])
  for c, row in rows.items():
    if "error" not in row:
      row |= summary(samples[c], tokens[c.case])
  return list(rows.values())


def summary(seconds: list[float], tokens: int) -> dict:
  """Median, range and ns per token of samples."""
  median = statistics.median(seconds)
  return {
    "seconds": median,
    "minimum": min(seconds),
    "maximum": max(seconds),
    "samples": seconds,
    "ns_per_token": median / tokens * 1e9,
  }
