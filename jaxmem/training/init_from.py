"""Initial parameters taken from another run, or from MiniLM, where they fit."""

from pathlib import Path
from typing import Any

import jax

from jaxmem.core.errors import UserError
from jaxmem.parallel.distributed import say
from jaxmem.training.load import load_run
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program


def begin(program: Program, state: TrainState) -> TrainState:
  """Returns a fresh state with the parameters that `config.init_from` names.

  Parameters without a counterpart of the same path and shape, such as a new head, keep
  the values that were drawn.

  Args:
    program: the model and its shardings.
    state: the fresh state.

  Raises:
    UserError: if there is no such run, or nothing of it fits.
  """
  name = program.config.init_from
  params, num_merged = _merged(state.params, parameters(name))
  if not num_merged:
    raise UserError(
      f"init_from {name!r}: no parameter has the name and shape of one of this model; "
      "give the model the pattern and sizes of that run"
    )
  say(f"begins from {name!r}: {num_merged} of {len(jax.tree.leaves(params))} arrays")
  # the arrays of the source are on one device, or on the host
  params = jax.device_put(params, program.shardings.params)
  # the average begins as the parameters do, not as those that were drawn
  average = program.trainable.part(params) if program.config.optim.ema else ()
  return state._replace(params=params, ema=average)


def parameters(name: str) -> Any:
  """Loads the parameters of a pretrained model or of a work directory.

  Args:
    name: "minilm", see `interop.minilm`, or a work directory.

  Raises:
    UserError: if there is neither.
  """
  if name == "minilm":
    from jaxmem.interop import minilm

    return minilm.read()
  return load_run(Path(name)).params


def _merged(params: Any, source: Any) -> tuple[Any, int]:
  """Takes arrays of `source` where path and shape agree; also returns how many."""
  arrays = dict(jax.tree_util.tree_leaves_with_path(source))

  def matches(path, a):
    return path in arrays and arrays[path].shape == a.shape

  def merge(path, a):
    return arrays[path].astype(a.dtype) if matches(path, a) else a

  leaves = jax.tree_util.tree_leaves_with_path(params)
  count = sum(matches(path, a) for path, a in leaves)
  return jax.tree_util.tree_map_with_path(merge, params), count
