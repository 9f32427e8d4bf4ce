"""Sparse attention both ways: near blocks, the first and the last, and random ones.

Source: Zaheer et al. 2020, arXiv:2007.14062; the mask is that of
`jaxmem.ops.attention_core.sparse_blocks`.
"""

from typing import ClassVar

from jaxmem.mixers.encoder_attention import EncoderAttention
from jaxmem.ops import encoder_attention
from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.attention_core.sparse_blocks import bigbird

OP = encoder_attention


class BigBird(EncoderAttention):
  """Attention to 5 + r blocks of the document, both ways; 2 D K (H + H_kv) parameters.

  A block of b tokens sees itself and its neighbours, the document's first and last
  block, and r others drawn at random for each head; the first and the last see all. A
  block that any head sees is computed for all: (5 + r H) b pairs a token and head.

      from jaxmem.mixers.bigbird import BigBird
      mixer = BigBird(d_model=64, num_heads=4, sparse_block=16, num_random=2)
      y, state = mixer.apply(params, x, (), reset)

  Attributes:
    sparse_block: b, tokens of a block, counted from the document's first token.
    num_random: r, random blocks of a block of queries, in every head others.
    seed: of the random blocks.
    block_size: tokens of a block of the computation, which skips what it sees nothing
      of; best as many as `sparse_block`.
    others: see `EncoderAttention`.
  """

  sparse_block: int = 64
  num_random: int = 3
  seed: int = 0
  block_size: int = 64

  family: ClassVar[str] = "attention"
  MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ("num_random",)

  @property
  def mask(self) -> Mask:
    """Who sees whom."""
    return bigbird(self.sparse_block, self.num_random, self.num_heads, self.seed)


Mixer = BigBird
