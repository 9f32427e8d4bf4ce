"""Several processes of one computation: how they find each other and agree.

Every process runs the same program on the same arrays. Only the primary one writes
files and prints; where it alone has computed a number, the number is broadcast.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxmem.core import progress
from jaxmem.core.errors import UserError

# Of these JAX itself reads only the first.
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def initialize() -> None:
  """Joins the other processes; it must be called before the first use of a device.

  On a TPU pod and under Slurm or Open MPI JAX finds them without help.
  Elsewhere each process reads JAX_COORDINATOR_ADDRESS (host:port of process 0),
  JAX_NUM_PROCESSES and JAX_PROCESS_ID.

  Raises:
    UserError: if some of these are set and others are not, or no process is found.
  """
  address, count, index = values = [os.environ.get(name) for name in _VARIABLES]
  missing = [n for n, value in zip(_VARIABLES, values, strict=True) if not value]
  if 0 < len(missing) < 3:
    raise UserError(f"--distributed: {', '.join(missing)} missing in the environment")
  if jax.config.jax_platforms == "cpu":  # the default has no collectives
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
  try:
    if missing:  # a cluster that JAX knows
      jax.distributed.initialize()
    else:
      jax.distributed.initialize(address, int(count), int(index))
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"--distributed: {error}; set {', '.join(_VARIABLES)} in every process"
    ) from error


def several() -> bool:
  """Returns whether this is one of several processes."""
  return jax.process_count() > 1


def primary() -> bool:
  """Returns whether this is the process that writes and prints for all."""
  return jax.process_index() == 0


def say(text: str) -> None:
  """Prints once for all processes; see `core.progress.say`.

  Args:
    text: a line.
  """
  if primary():
    progress.say(text)


def reached_preemption(step: int) -> bool:
  """Returns whether a process must stop and all have agreed to stop at this step.

  Args:
    step: the number of the step that has just ended, the same in every process.
  """
  # one process may get its signal a step before another: JAX picks a step for all
  return multihost_utils.reached_preemption_sync_point(step)


def broadcast_from_primary(value: float) -> float:
  """Returns the number of the primary process, on all of them.

  Args:
    value: the number; that of other processes is ignored.
  """
  if not several():
    return value
  return float(multihost_utils.broadcast_one_to_all(np.float64(value)))


said_by_first = broadcast_from_primary  # its name before 0.2


def local(tree: Any) -> Any:
  """Returns arrays that this process alone can compute with.

  All processes must call it. Cost: with several processes every host holds the whole
  tree.

  Args:
    tree: arrays, sharded over the devices of all processes.
  """
  if not several():
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
