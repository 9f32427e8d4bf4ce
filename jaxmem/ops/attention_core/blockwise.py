"""Softmax attention of arrays under a mask, in blocks: the engine without a spec.

Source: Rabe and Staats 2021, arXiv:2112.05682; Dao et al. 2022, arXiv:2205.14135.
"""

from jaxtyping import Array, Float

from jaxmem.ops.attention_core import engine
from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.attention_core.scores import Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import Tokens


def attend(
  q: Float[Array, "B T A K"],
  k: Float[Array, "B S H K"],
  v: Float[Array, "B S H V"],
  queries: Tokens,
  keys: Tokens,
  mask: Mask,
  *,
  scale: float | None = None,
  cap: float | None = None,
  block_size: int = 128,
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """`engine.attend` without rotation, bias or parameters.

  Args:
    q: queries, N a key head.
    k: keys.
    v: values.
    queries: where the queries lie.
    keys: where the keys lie.
    mask: who sees whom in a document.
    scale: of the scores; None is K^-0.5.
    cap: bounds the scores smoothly; None does not.
    block_size: tokens of a block, C >= 1; neither T nor S need be a multiple.

  Returns:
    y in the dtype of v, and the log of the softmax's denominator.

  Raises:
    ValueError: if heads do not divide, or block_size < 1.
  """
  scores = Scores(rotary=None, scale=scale, cap=cap)
  spec = AttentionSpec(mask, scores, block_size)
  return engine.attend(spec, (), q, (k, v), queries, keys)
