"""What an attention is: its mask, its scores, its blocks and the code that runs it."""

import dataclasses

from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.attention_core.scores import Scores


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """All that is fixed about an attention when it is traced; hashable, so jit keeps it.

  Arrays (learned parameters of the scores, queries, keys, where the tokens lie) are not
  part of it: they travel beside it.

  Attributes:
    mask: who sees whom in a document.
    scores: what the softmax is of.
    block_size: C, tokens of a block of queries or keys, at least 1.
    implementation: "auto", "xla" (our blocks), "cudnn" or "splash"; see
      `dispatch.choose`.
    with_lse: whether the caller reads the log of the softmax's denominator, to merge
      the result with what other keys give; other libraries do not return it.
  """

  mask: Mask
  scores: Scores
  block_size: int = 128
  implementation: str = "xla"
  with_lse: bool = False
