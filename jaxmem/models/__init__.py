"""Whole models: each is one file, found by the file's name.

A file's last lines name its `Config`, a frozen dataclass, and its `Model`, the Linen
module of such a config. The trainer trains any `TrainableModel`; an encoder alone has
no loss, and is trained with the head of a task (`tasks.make_model`).
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
  """The fields that every model's config has.

  Attributes:
    d_model: D, the number of features.
    pattern: the memories of a group.
    num_groups: how often the pattern is repeated.
    dropout: rate in the blocks, in [0, 1).
    dtype: the dtype of the computation, "auto", "float32" or "bfloat16".
  """

  @property
  def d_model(self) -> int: ...

  @property
  def pattern(self) -> Pattern: ...

  @property
  def num_groups(self) -> int: ...

  @property
  def dropout(self) -> float: ...

  @property
  def dtype(self) -> str: ...


@runtime_checkable
class TrainableModel(Protocol):
  """A Linen module that the trainer can train.

  A model whose loss compares rows, such as a contrastive one, sets `across_rows` to
  True and splits its `objective` into `nats_across(by_row(batch, deterministic),
  batch)`: `by_row` returns arrays with rows first, each computed from its row alone,
  and `nats_across` reads those of the whole batch. Gradient accumulation needs the
  split, see `jaxmem.training.accumulate`.
  """

  def objective(
    self, batch: Batch, memory: State, deterministic: bool = True
  ) -> tuple[Any, State]:
    """Computes the loss of a batch.

    Args:
      batch: see `example`.
      memory: the memory before the batch, see `init_state`.
      deterministic: False applies dropout.

    Returns:
      Nats, of the shape of `batch["weights"]`, and the memory after the batch.
    """
    ...

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros to initialise from; needs no parameters.

    Args:
      batch_size: B, the number of rows.
      length: T, the number of tokens of a row.
    """
    ...

  def init_state(self, batch_size: int) -> State:
    """Returns the memory that is carried from step to step; () where none is."""
    ...

  def state_axes(self) -> State:
    """Returns the logical axis names of the memory."""
    ...


def get(kind: str) -> ModuleType:
  """Returns the module of a kind of model, such as "lm" or "encoder".

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return kinds.MODELS.get(kind)


def kind(config: ModelConfig) -> str:
  """Returns the registered name of the model that a config describes.

  Raises:
    KeyError: if it describes none.
  """
  return kinds.MODELS.name_of(type(config))


def make(config: ModelConfig) -> nn.Module:
  """Makes the model of a config."""
  return get(kind(config)).Model(config)
