"""Parameters to begin from, where name and shape agree: another run's, or MiniLM's."""

from pathlib import Path
from typing import Any

import jax

from jaxmem.core.errors import UserError
from jaxmem.parallel.distributed import say
from jaxmem.training.load import load_run
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program


def begin(program: Program, state: TrainState) -> TrainState:
  """A fresh state with the parameters that `config.init_from` names.

  A new head, or a vocabulary of another size, stays as it was drawn.

  Raises:
    UserError: if there is no such run, or nothing of it fits.
  """
  name = program.config.init_from
  found = parameters(name)
  params, taken = _merged(state.params, found)
  if not taken:
    raise UserError(
      f"init_from {name!r}: no parameter has the name and shape of one of this model; "
      "give the model the pattern and sizes of that run"
    )
  say(f"begins from {name!r}: {taken} of {len(jax.tree.leaves(params))} arrays")
  params = jax.device_put(params, program.shardings.params)
  average = program.trainable.part(params) if program.config.optim.ema else ()
  return state._replace(params=params, ema=average)


def parameters(name: str) -> Any:
  """The parameters that a name or a work directory has.

  Args:
    name: "minilm", see `interop.minilm`, or a work directory.

  Raises:
    UserError: if there is neither.
  """
  if name == "minilm":
    from jaxmem.interop import minilm

    return minilm.read()
  return load_run(Path(name)).params


def _merged(own: Any, found: Any) -> tuple[Any, int]:
  """`own` with every array of `found` of the same path and shape, and how many."""
  given = dict(jax.tree_util.tree_leaves_with_path(found))
  fits = lambda path, a: path in given and given[path].shape == a.shape
  one = lambda path, a: given[path].astype(a.dtype) if fits(path, a) else a
  taken = [fits(path, a) for path, a in jax.tree_util.tree_leaves_with_path(own)]
  return jax.tree_util.tree_map_with_path(one, own), sum(taken)
