"""Whole models: one a file, found by the file's name.

A file's last lines name what it brings: `Config`, a frozen dataclass, and `Model`, the
Linen module of such a config. What the trainer asks of a model is `TrainableModel`; an
encoder alone has no loss, and is trained with the head of a task (`tasks.make_model`).
"""

from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from flax import linen as nn

from jaxmem.core import kinds
from jaxmem.core.typing import State
from jaxmem.models.pattern import Pattern

Batch = dict[str, Any]


@runtime_checkable
class ModelConfig(Protocol):
  """What every model's config has, whatever else it has.

  Attributes:
    d_model: features.
    pattern: the memories of a group.
    num_groups: how often the pattern is repeated.
    dropout: rate in the blocks, in [0, 1).
    dtype: of the computation, "auto", "float32" or "bfloat16".
  """

  d_model: int
  pattern: Pattern
  num_groups: int
  dropout: float
  dtype: str


@runtime_checkable
class TrainableModel(Protocol):
  """A Linen module that the trainer can train.

  A loss that a row does not have alone, such as a contrastive one, is made of two
  parts: the model's `across_rows` is True, and `objective` is
  `nats_across(by_row(batch, deterministic), batch)`, where `by_row` gives arrays with
  rows first, each of a row alone, and `nats_across` reads those of the whole batch. A
  batch that is computed in parts needs them, see `jaxmem.training.accumulate`.
  """

  def objective(
    self, batch: Batch, memory: State, deterministic: bool = True
  ) -> tuple[Any, State]:
    """Nats of what `batch["weights"]` counts, in its shape, and the memory after."""
    ...

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros, to initialise from; needs no parameters."""
    ...

  def init_state(self, batch_size: int) -> State:
    """The memory that is carried from step to step; () where none is."""
    ...

  def state_axes(self) -> State:
    """The logical axis names of the memory."""
    ...


def get(kind: str) -> ModuleType:
  """The file of a kind of model, "lm" or "encoder" say.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return kinds.MODELS.get(kind)


def kind(config: ModelConfig) -> str:
  """The registered name of the model that a config is of.

  Raises:
    KeyError: if it is of none.
  """
  return kinds.MODELS.name_of(type(config))


def make(config: ModelConfig) -> nn.Module:
  """The model of a config."""
  return get(kind(config)).Model(config)
