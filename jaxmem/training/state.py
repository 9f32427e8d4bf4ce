"""What a run changes, and which models, meshes and starts go together."""

from typing import Any, NamedTuple

import jax

from jaxmem import models
from jaxmem.core.errors import ConfigError
from jaxmem.models.lm import LM
from jaxmem.parallel.mesh import MeshError
from jaxmem.training.config import Config


class TrainState(NamedTuple):
  """All that a step changes, and the key.

  `rng` is the data of a key that stays as it is; a step folds its number into it. `ema`
  is the moving average of the parameters that move and `best` the best held-out score,
  each () where the config has none.
  """

  step: jax.Array
  params: Any
  opt_state: Any
  memory: Any
  rng: jax.Array
  ema: Any = ()
  best: Any = ()


def check_mesh(config: Config, model: Any, mesh: jax.sharding.Mesh) -> None:
  """Raises MeshError if the mesh cuts time, and the model is none of language."""
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
