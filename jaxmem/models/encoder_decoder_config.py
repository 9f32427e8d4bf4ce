"""The config of an encoder-decoder."""

import dataclasses

from jaxmem.core.ranges import number, required
from jaxmem.layers import norms
from jaxmem.models import pattern as patterns
from jaxmem.models.block import Position
from jaxmem.models.pattern import Pattern, check_causal, check_own, entry


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig:
  """The config of an encoder and a decoder, as data.

  Attributes:
    vocab_size: ids are 0 .. vocab_size - 1, of both sides.
    encoder: the memories of a group of the encoder; causal ones are run both ways.
    d_model: D, features.
    d_ff: width of the MLPs; 0 is 2 D.
    pattern: the memories of a group of the decoder, causal, at least one of them given
      by the encoder: `cross_attention`, or `additive_attention`.
    num_groups: how often either pattern is repeated.
    encoder_groups: how often that of the encoder is; 0 is `num_groups`.
    memory_size: tokens of the encoder that the decoder can read; 0 is what the data
      have.
    mlp: the MLP of a block that names none, see `LMConfig`.
    norm: "rms" or "layer".
    norm_epsilon: under the root of every norm.
    norm_position: "pre", "post" or "sandwich", see `block.Residual`.
    final_norm: whether there is a norm behind the encoder, and one behind the decoder.
    embedding_scale: multiplies the embedding where it is read; 0 is the root of
      d_model.
    embedding_norm: whether there is a norm behind the embedding, one for each side.
    positions: how many learned positions each side has; the logits of a longer text are
      NaN from there on. 0 has none and leaves order to the memories.
    encoder_positions: how many of them the encoder has; 0 is `positions`.
    position_offset: the row of the first position in its table, 2 in BART.
    shared_buckets: whether the groups of a side share their tables of `bias="buckets"`,
      as T5 does.
    tied: whether the head is the embedding.
    head_scale: multiplies what the head reads.
    head_bias: whether the head adds a bias to the logits.
    smoothing: label smoothing of the targets while training, in [0, 1).
    dropout: rate in the blocks and on the embeddings, in [0, 1).
    dtype: the dtype of the computation, "float32" or "bfloat16".
  """

  vocab_size: int = number(0, at_least=0, at_most=2**24)
  encoder: Pattern = required("name at least one memory", (entry("encoder_attention"),))
  d_model: int = number(256, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("attention", capacity=256), entry("cross_attention"))
  num_groups: int = number(2, at_least=1, at_most=2**16)
  memory_size: int = number(0, at_least=0)
  smoothing: float = number(0.1, at_least=0, below=1)
  dropout: float = number(0.1, at_least=0, below=1)
  dtype: str = "float32"
  encoder_groups: int = number(0, at_least=0, at_most=2**16)
  mlp: str = "swiglu"
  norm: norms.Kind = "rms"
  norm_epsilon: float = number(norms.EPSILON, above=0)
  norm_position: Position = "pre"
  final_norm: bool = True
  embedding_scale: float = number(0.0, at_least=0)
  embedding_norm: bool = False
  positions: int = number(0, at_least=0, at_most=2**24)
  position_offset: int = number(0, at_least=0, at_most=2**16)
  encoder_positions: int = number(0, at_least=0, at_most=2**24)
  shared_buckets: bool = False
  tied: bool = True
  head_scale: float = number(1.0, above=0)
  head_bias: bool = False

  def check_fields(self) -> None:
    """Raises ValueError if the fields do not fit one another."""
    check_own(self.encoder)
    check_causal(self.pattern)
    if not any(map(_is_given, self.pattern)):
      raise ValueError(
        f"pattern {patterns.show(self.pattern)!r} reads nothing of the encoder: add "
        "cross_attention"
      )


def _is_given(item: patterns.Entry | patterns.Block) -> bool:
  """Whether a block's memory is what was encoded; wrappers are not looked into."""
  return patterns.is_given(patterns.memory_of(item))
