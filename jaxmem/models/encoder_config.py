"""The config of an encoder."""

import dataclasses
import functools
from typing import Literal, TypeVar

from jaxmem.core import migrations
from jaxmem.core.errors import ConfigError
from jaxmem.core.ranges import number
from jaxmem.layers.norms import LAYER_NORM, Norm
from jaxmem.models.block import Residual, default_mlp
from jaxmem.models.pattern import Entry, Pattern, entry

_Class = TypeVar("_Class", bound=type)


def _naming_moved_fields(cls: _Class) -> _Class:
  """Lets the constructor say where fields are now that the task's config has."""
  init = cls.__init__  # type: ignore[misc]

  @functools.wraps(init)
  def __init__(self, *args, **fields):
    for key in migrations.MOVED.keys() & fields.keys():
      raise ConfigError(f"EncoderConfig({key}=) is now {migrations.where_now(key)}")
    init(self, *args, **fields)

  cls.__init__ = __init__  # type: ignore[misc]
  return cls


@_naming_moved_fields
@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """An encoder as data.

  Attributes:
    vocab_size: ids are 0 .. vocab_size - 1.
    d_model: D, features.
    d_ff: width of the MLPs; 0 is 2 D.
    pattern: the memories of a group; causal ones are run both ways.
    num_groups: how often the pattern is repeated.
    block: "pre" normalises what a layer reads; "post" is BERT's block, with biases,
      GELU and layer norms behind each sum.
    positions: learned positions, of a window at most; 0 has none and leaves order to
      the memories.
    types: kinds of token that are told apart, 2 for a pair of texts, say; 0 is none.
    window: tokens that are read at once; 0 is the whole row. Longer texts are cut into
      windows that do not see each other.
    between: the memories that carry what was read from window to window, causal; none
      takes the mean over the windows.
    pool: the vector of a window: "mean" or "max" over its tokens, or its "first".
    dropout: rate in the blocks and before a task's head, in [0, 1).
    dtype: of the computation, "float32" or "bfloat16"; heads are float32.
    mlp: the MLP of the blocks, as in `LMConfig`; empty is "swiglu" of "pre" blocks and
      "gelu" of "post" blocks.
    norm_epsilon: under the root of the layer norms of "post" blocks.
    position_offset: rows of the table of positions before that of the first token,
      which are never read: RoBERTa has 2.
  """

  vocab_size: int = number(0, at_least=0, at_most=2**24)
  d_model: int = number(128, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("encoder_attention"),)
  num_groups: int = number(2, at_least=1, at_most=2**16)
  block: Literal["pre", "post"] = "pre"
  positions: int = number(0, at_least=0, at_most=2**24)
  types: int = number(0, at_least=0, at_most=2**24)
  window: int = number(0, at_least=0)
  between: Pattern = ()
  pool: Literal["mean", "max", "first"] = "mean"
  dropout: float = number(0.0, at_least=0, below=1)
  dtype: str = "float32"
  mlp: str = ""
  norm_epsilon: float = number(LAYER_NORM.epsilon, above=0)
  position_offset: int = number(0, at_least=0, at_most=2**24)

  def check_fields(self) -> None:
    """Raises ValueError if the fields do not fit one another."""
    if self.between and not self.window:
      raise ValueError("between is for texts of several windows: set window")
    if self.position_offset and not self.positions:
      raise ValueError("position_offset is of a table of positions: set positions")

  @property
  def layer_norm(self) -> Norm:
    """The norm of "post" blocks."""
    return dataclasses.replace(LAYER_NORM, epsilon=self.norm_epsilon)

  @property
  def mlp_entry(self) -> Entry | None:
    """The MLP of the blocks."""
    return default_mlp(self.mlp or {"pre": "swiglu", "post": "gelu"}[self.block])

  @property
  def residual(self) -> Residual:
    """How the branches of the blocks are joined."""
    return Residual("post", self.layer_norm) if self.block == "post" else Residual()
