"""Many processes, one computation: who is there, what all of them know."""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxmem.core.errors import UserError

_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def initialize() -> None:
  """Joins the other processes; must come before the first use of a device.

  On a TPU pod, under Slurm, Open MPI and the like JAX finds them by itself. Elsewhere
  each process is told by JAX_COORDINATOR_ADDRESS (host:port of process 0),
  JAX_NUM_PROCESSES and JAX_PROCESS_ID.

  Raises:
    UserError: if some of these are set and others are not, or nobody is found.
  """
  given = [os.environ.get(name) for name in _VARIABLES]
  missing = [n for n, value in zip(_VARIABLES, given, strict=True) if not value]
  if 0 < len(missing) < 3:
    raise UserError(f"--distributed: {', '.join(missing)} missing in the environment")
  address, count, index = given
  if jax.config.jax_platforms == "cpu":
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
  try:
    if missing:
      jax.distributed.initialize()
    else:
      jax.distributed.initialize(address, int(count), int(index))
  except (ValueError, RuntimeError) as error:
    raise UserError(
      f"--distributed: {error}; set {', '.join(_VARIABLES)} in every process"
    ) from error


def several() -> bool:
  """Whether this is one of several processes."""
  return jax.process_count() > 1


def primary() -> bool:
  """Whether this is the process that writes and speaks for all."""
  return jax.process_index() == 0


def say(text: str) -> None:
  """Prints, once for all processes."""
  if primary():
    print(text, flush=True)


def reached_preemption(step: int) -> bool:
  """Whether some process was asked to stop and all have agreed on this step."""
  return multihost_utils.reached_preemption_sync_point(step)


def said_by_first(value: float) -> float:
  """The number of the primary process, on all of them."""
  if not several():
    return value
  return float(multihost_utils.broadcast_one_to_all(np.float64(value)))


def local(tree: Any) -> Any:
  """Arrays that this process alone can compute with; all processes must call it.

  Cost: with several processes the whole tree on every host.
  """
  if not several():
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)
