"""Initial parameters, of another run or of a pretrained model, where they fit."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from jaxmem import models
from jaxmem.core.errors import UserError
from jaxmem.interop import addresses, conversion, pretrained
from jaxmem.parallel.distributed import say
from jaxmem.training.load import load_run
from jaxmem.training.state import TrainState
from jaxmem.training.step import Program


def warm_start(program: Program, state: TrainState) -> TrainState:
  """Returns a fresh state with the parameters that `config.init_from` names.

  Parameters without a counterpart of the same path and shape, such as a new head, keep
  the values that were drawn.

  Args:
    program: the model and its shardings.
    state: the fresh state.

  Raises:
    UserError: if there is no such run, or none of its parameters fits.
  """
  name = program.config.init_from
  source = load_params(name, program.mesh)
  params, num_taken = _merge_params(state.params, source)
  if not num_taken:
    raise UserError(
      f"init_from {name!r}: no parameter has the name and shape of one of this model; "
      "give the model the pattern and sizes of that run, or of a pretrained model "
      "model.vocab_size 0 and no sizes"
    )
  say(f"begins from {name!r}: {num_taken} of {len(jax.tree.leaves(params))} arrays")
  # the arrays of the source are on one device, or on the host
  params = jax.device_put(params, program.shardings.params)
  # the average begins as the parameters do, not as those that were drawn
  average = program.trainable.part(params) if program.config.optim.ema else ()
  return state._replace(params=params, ema=average)


def load_params(name: str, mesh: jax.sharding.Mesh | None = None) -> Any:
  """Loads the parameters of a pretrained model or of a work directory, float32.

  Args:
    name: a work directory, or see `interop.addresses`.
    mesh: see `pretrained.read`.

  Raises:
    UserError: if the directory has no checkpoint, or the package is missing.
    DataError: if the pretrained model cannot be read.
  """
  if not addresses.is_address(name):
    return load_run(Path(name)).params
  source = addresses.find(name)
  config = dataclasses.replace(pretrained.config_of(source), dtype="float32")
  # the model of an encoder has no loss, and so nothing that says how it is sharded
  trainable = isinstance(models.make(config), models.TrainableModel)
  return conversion.params_of(source, config, mesh if trainable else None)


def _merge_params(params: Any, source: Any) -> tuple[Any, int]:
  """Takes arrays of `source` where path and shape agree; also returns how many."""
  arrays = dict(jax.tree_util.tree_leaves_with_path(source))

  def matches(path, a):
    return path in arrays and arrays[path].shape == a.shape

  def merge(path, a):
    return arrays[path].astype(a.dtype) if matches(path, a) else a

  leaves = jax.tree_util.tree_leaves_with_path(params)
  count = sum(matches(path, a) for path, a in leaves)
  return jax.tree_util.tree_map_with_path(merge, params), count
