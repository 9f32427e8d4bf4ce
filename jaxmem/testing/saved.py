"""Law 10: a state that is saved and restored is the same to the last bit."""

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

  The state after half of the tokens is saved and restored; the second half is read from
  both states, and outputs and final states must be equal to the last bit.

  Args:
    thing: as in `check_laws`.
    directory: for the checkpoint; it is empty or does not exist.
    seed: of the random case.

  Returns:
    A row for each comparison: law, form, error as a multiple of what is allowed.

  Raises:
    LawError: if the law is broken; the message names form and position.
    ModuleNotFoundError: without the extra `train`.
    CheckpointError: if the state cannot be written or read.
  """
  from jaxmem.runtime.checkpoint import (
    Checkpoints,  # imported here, since the other laws do not need Orbax
  )

  suite = Suite(cases.of(thing), jax.random.key(seed))
  if not suite.case.causal:  # a bidirectional case carries no state
    return suite.rows
  half = suite.length // 2
  form = list(suite.case.forms)[-1]  # one is enough: law 1 compares the forms
  run = suite.forward[form]
  first, second = (
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
  want = run(suite.params, second[0], state, second[1])
  got = run(suite.params, second[0], restored, second[1])
  for name, g, w in zip(("y", "state"), got, want, strict=True):
    suite.expect(10, form, name, g, w, "exact")
  return suite.rows
