"""The training state, and which models, meshes and segment starts go together."""

from typing import Any, NamedTuple

import jax

from jaxmem import models
from jaxmem.core.errors import ConfigError
from jaxmem.models.lm import LM
from jaxmem.parallel.mesh import MeshError
from jaxmem.training.config import Config


class TrainState(NamedTuple):
  """Everything that a step updates, and the random key.

  Attributes:
    step: int32, how many steps were made, skipped ones included.
    params: the parameters, frozen ones included.
    opt_state: the optimizer's state of the trainable parameters.
    memory: the model's memory that is carried to the next segment.
    rng: the data of a key that never changes; a step folds its number into it.
    ema: the moving average of the trainable parameters; () where the config has none.
    best: see `validation.Best`; () where held-out data is not scored during the run.
  """

  step: jax.Array
  params: Any
  opt_state: Any
  memory: Any
  rng: jax.Array
  ema: Any = ()
  best: Any = ()


def check_mesh(config: Config, model: Any, mesh: jax.sharding.Mesh) -> None:
  """Raises MeshError if the mesh shards time and the model is no language model."""
  # only `LM` passes its segments through ops that run over shards of time
  if mesh.shape["seq"] > 1 and not isinstance(model, LM):
    raise MeshError(
      f"mesh.seq is {mesh.shape['seq']} and the model is an "
      f"{models.kind(config.model)}: only a language model cuts time over devices; "
      "use --mesh.data or --mesh.fsdp"
    )


def check_carried(config: Config, model: Any, memory: Any) -> None:
  """Raises ConfigError if the config asks for a memory or noise that a model lacks."""
  kind = models.kind(config.model)
  if config.segment_start != "carried" and not jax.tree.leaves(memory):
    raise ConfigError(
      f"segment_start is {config.segment_start!r}, and a model of kind {kind!r} "
      "carries no memory to start from: leave it out"
    )
  if config.adversary.kind != "none" and not hasattr(model, "noise_shape"):
    raise ConfigError(
      f"adversary.kind is {config.adversary.kind!r}, and a model of kind {kind!r} has "
      "no embeddings that can be moved: leave it out"
    )
