"""The engine of attention: queries and keys in blocks, and a softmax over the blocks.

Every attention op calls it with an `AttentionSpec`. `blockwise.attend` is the same for
plain arrays and a mask.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.ops.attention_core import block_softmax
from jaxmem.ops.attention_core.scores import Params
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import Tokens, in_blocks, lead_in
from jaxmem.ops.recurrence import scan


def attend(
  spec: AttentionSpec,
  params: Params,
  q: Float[Array, "B T A K"],
  kv: tuple,
  queries: Tokens,
  keys: Tokens,
  query_extra: Any = (),
  *,
  selected: Int[Array, "B M N"] | None = None,
  softmax: Callable = block_softmax.softmax,
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """Computes what every query reads of the keys of its document under the mask.

      y_t = sum_j p_tj v_j,   p_t = softmax_j(cap tanh(scale q_t . k_j / cap) + bias_tj)

  Cost: 2 (K + V) multiplies a head for each pair in a block that any row sees a part
  of; other blocks are skipped. The reverse pass computes scores again and
  keeps y and one number a query.

  With `selected` a block of queries reads only the blocks of keys that it names, and of
  these what the mask and the document allow: N blocks at most, whatever S is, gathered
  by row. Which blocks are chosen has no gradient. For a choice by head, heads stand as
  rows: [B H, T, N, K] queries and [B H, S, 1, K] keys.

  Args:
    spec: mask, scores and size of the blocks.
    params: of the scores' bias and learned sink.
    q: queries, of A = N H heads, N for each key head.
    kv: keys [B, S, H, K], values [B, S, H, V], and a tree of [B, S, ...] where the bias
      reads more of every key than its position.
    queries: where the queries lie.
    keys: where the keys lie.
    query_extra: a tree of [B, T, ...] that the bias reads of every query.
    selected: key blocks that each of the M = ceil(T / C) blocks of queries reads; None
      reads all. A number outside of 0 .. ceil(S / C) - 1 names no block, and a repeated
      one counts once. Where S is larger than T and S - T no multiple of C, the
      first block of keys is the short one.
    softmax: runs on the blocks; `parallel.ring.softmax` runs over a ring of devices.

  Returns:
    y in the dtype of v, 0 where a query sees nothing, and the log of the softmax's
    denominator, at least float32, `scores.NOTHING` there.

  Raises:
    ValueError: if heads do not divide, or block_size < 1.
  """
  scan.check_chunk_size(spec.block_size)
  k, v, *key_extra = kv
  rows, length, heads, key_dim = q.shape
  key_heads = k.shape[2]
  if heads % key_heads:
    raise ValueError(f"{heads} query heads do not divide into {key_heads} key heads")
  size = min(spec.block_size, length)
  # padding in front of the keys, which aligns their blocks with those of the queries
  lead = max(k.shape[1] - length, 0) % size and -(k.shape[1] - length) % size

  k, v = (scan.to_chunks(lead_in(a, lead), size) for a in (k, v))  # [S/C, B, C, H, .]
  k, v = (jnp.moveaxis(a, 3, 2) for a in (k, v))  # [S/C, B, H, C, .]
  q = scan.to_chunks(q, size)  # [T/C, B, C, A, K]
  q = q.reshape(-1, rows, size, key_heads, heads // key_heads, key_dim)
  q = jnp.moveaxis(q, 2, 4)  # [T/C, B, H, N, C, K]

  if spec.scores.bias is None:  # only a bias reads parameters and extras
    params, query_extra, key_extra = (), (), ()
  else:
    params, key_extra = spec.scores.bias_params(params), tuple(key_extra)
    key_extra = key_extra[0] if key_extra else ()
  query_blocks = in_blocks(queries, query_extra, size, 0)
  if selected is not None:
    query_blocks = query_blocks._replace(selected=jnp.moveaxis(selected, 1, 0))
  key_blocks = in_blocks(keys, key_extra, size, lead)
  y, lse = softmax(spec, q, k, v, params, query_blocks, key_blocks)

  def tokens(a: Array) -> Array:
    a = jnp.moveaxis(a, 4, 2).reshape(-1, rows, size, heads, a.shape[-1])
    return scan.from_chunks(a, length)  # [B, T, A, .]

  return tokens(y), tokens(lse[..., None])[..., 0]
