"""The specification of an attention: mask, scores, block size and implementation."""

import dataclasses

from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.attention_core.scores import Scores


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """All that is static about an attention; hashable, so that it can be a jit key.

  Arrays (learned parameters of the scores, queries, keys, where the tokens lie) are not
  part of it: they travel beside it.

  Attributes:
    mask: which keys of its document each query sees.
    scores: how scores are computed from queries and keys.
    block_size: C, tokens of a block of queries or keys, at least 1.
    implementation: "auto", "xla" (this package's blocks), "cudnn" or "splash";
      see `dispatch.choose`.
    with_lse: whether the caller reads the log of the softmax's denominator, to merge
      the result with what other keys give; other libraries do not return it.
  """

  mask: Mask
  scores: Scores
  block_size: int = 128
  implementation: str = "xla"
  with_lse: bool = False
