"""Law 10: what is saved is kept."""

from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from jaxmem.testing import cases
from jaxmem.testing.suite import Suite


def check_saved(
  thing: Any | ModuleType, directory: str | Path, seed: int = 0
) -> list[tuple[int, str, float]]:
  """Checks law 10: a state continues after a checkpoint as if there had been none.

      from jaxmem.testing import check_saved
      check_saved(MyMixer(d_model=8), Path("/tmp/empty"))

  The state behind half of the tokens goes to disk and comes back; the rest is read from
  both, and outputs and final states are equal to the last bit.

  Args:
    thing: as in `check_laws`.
    directory: for the checkpoint; empty, or not there.
    seed: of the random case.

  Returns:
    A row for each comparison: law, form, error as a multiple of what is allowed.

  Raises:
    LawError: if the law is broken; the message names form and position.
    ModuleNotFoundError: without the extra `train`.
    CheckpointError: if the state cannot be written or read.
  """
  from jaxmem.runtime.checkpoint import (
    Checkpoints,  # Orbax: the laws alone do not need it
  )

  suite = Suite(cases.of(thing), jax.random.key(seed))
  if not suite.case.causal:  # it carries nothing
    return suite.rows
  half = suite.length // 2
  form = list(suite.case.forms)[-1]
  run = suite.forward[form]
  first, rest = (
    jax.tree.map(lambda a, cut=cut: a[:, cut], (suite.inputs, suite.reset))
    for cut in (slice(half), slice(half, None))
  )
  _, state = run(suite.params, first[0], suite.state, first[1])
  with Checkpoints(directory, keep=1) as checkpoints:
    checkpoints.save(half, state, {}, {})
    checkpoints.wait()
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
      lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), state
    )
    restored = checkpoints.restore(target).state
  suite.expect(10, form, "state on disk", restored, state, "exact")
  want = run(suite.params, rest[0], state, rest[1])
  got = run(suite.params, rest[0], restored, rest[1])
  for name, g, w in zip(("y", "state"), got, want, strict=True):
    suite.expect(10, form, name, g, w, "exact")
  return suite.rows
