"""Law 7: shards of the time axis do not matter."""

import dataclasses
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax

from jaxmem import ops
from jaxmem.core.op import Op
from jaxmem.core.typing import Form
from jaxmem.parallel import apply
from jaxmem.parallel import mesh as meshes
from jaxmem.testing import cases
from jaxmem.testing.suite import Suite

LENGTH = 32
# Inside a shard, on a shard's border (whether 2, 4 or 8), on the call's first token.
# Each row keeps a document that goes through several shards, row 2 the carried one.
BORDERS = ((0, 5), (0, 16), (1, 0), (1, 13))
PARTS = ("y", "state", "gradient")


def check_shards(
  thing: Any | ModuleType,
  shards: tuple[int, ...] = (8,),
  *,
  batch_size: int = 3,
  inputs: Callable | None = None,
  seed: int = 0,
) -> list[tuple[int, str, float]]:
  """Checks law 7: N shards of time give the values and gradients of one device.

      from jaxmem.testing import check_shards
      check_shards(MyMixer(d_model=8), shards=(2, 4, 8))

  Needs as many devices as shards; `jax_num_cpu_devices` makes some of a CPU. A module
  must call its ops through `jaxmem.parallel.apply.apply`.

  Cost: a compilation of the gradient for each form, and one for each number of shards.

  Args:
    thing: as in `check_laws`.
    shards: how many, each a divisor of 32.
    batch_size: rows, at least 2; a nonlinear memory swaps time for rows where the
      shards divide them.
    inputs: as in `check_laws`.
    seed: of the random case.

  Returns:
    A row for each comparison: law, form, error as a multiple of what is allowed.

  Raises:
    LawError: if the law is broken; the message names form, shards and position.
  """
  case = cases.of(thing, inputs)
  if isinstance(thing, ModuleType | Op):  # a module finds the mesh by `apply`
    forms = _through_context(ops.record(thing))
    case = dataclasses.replace(case, forms=forms)
  suite = Suite(case, jax.random.key(seed), batch_size, LENGTH, BORDERS)
  want = suite.whole
  for count in shards:
    suite.case = dataclasses.replace(case, name=f"{case.name} on {count} shards")
    mesh = meshes.make(meshes.MeshConfig(data=1, seq=count), jax.devices()[:count])
    for form in case.forms:
      with jax.set_mesh(mesh):  # compiles once more: the mesh is part of the function
        got = suite(form)
      for what, g, w in zip(PARTS, got, want[form], strict=True):
        suite.expect(7, form, what, g, w)
  return suite.rows


def _through_context(op: Op) -> dict[str, Form]:
  """The forms of an op as mixers call them, over the ambient mesh, in small chunks."""

  def form(name, params, inputs, state, reset=None):
    sizes = {k: v for k, v in cases.SMALL.items() if op.takes(name, k)}
    return apply.apply(op, name, params, inputs, state, reset, sizes)

  return {name: jax.jit(functools.partial(form, name)) for name in op.form_names}
