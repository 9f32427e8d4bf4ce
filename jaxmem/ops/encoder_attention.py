"""Softmax attention that reads both ways within a document: nothing is carried.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1; Devlin et al. 2018,
arXiv:1810.04805, section 3 (both ways).
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.typing import Reset
from jaxmem.ops import window
from jaxmem.ops.attention_core import dispatch, masks, scores
from jaxmem.ops.attention_core.masks import Document, Mask
from jaxmem.ops.attention_core.scores import ROTARY, Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import scan
from jaxmem.ops.window import Inputs

# No `step`, and `dense` in its place: a token that reads what follows has no state.
TRANSITION = None
REVERSE_ONLY = ("parallel",)

State = tuple[()]
# Every token sees its whole document.
WHOLE = Document()


def init_state(batch_size: int) -> State:
  """Nothing."""
  return ()


def dense(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  mask: Mask = WHOLE,
  score: Scores = ROTARY,
) -> tuple[Float[Array, "B T A V"], State]:
  """The definition, by a T x T array a head.

      y_i = sum_j softmax_j(score(q_i, k_j, i - j)) v_j

  over those j of the document of i that the mask shows it; 0 where it shows none. A
  call begins a document and ends one. Cost: (K + V) T multiplies a head.

  Args:
    params: of the scores' bias and sink.
    inputs: q, N a key head; k and v.
    state: ().
    reset: True on the first token of a document.
    mask: who sees whom.
    score: what the softmax is of.

  Returns:
    y in the dtype of v, and ().
  """
  q, k, v = inputs
  rows, length, heads = q.shape[:3]
  key_heads = k.shape[2]
  tokens = call(rows, length, reset)
  position = tokens.in_document  # [B, T]
  k = score.rotate(k, position)
  seen = masks.dense(mask, position == 0, heads)
  seen = seen.reshape(rows, key_heads, -1, length, length)  # [B, H, N, T, T]

  @functools.partial(jax.vmap, in_axes=(1, 1, 1, 3), out_axes=1)
  def one(
    q: Float[Array, "B A K"],
    position: Int[Array, " B"],
    start: Int[Array, " B"],
    seen: Bool[Array, "B H N T"],
  ):
    pair = scores.pair(position, tokens.position - start[:, None], heads, key_heads)
    y = score.read(params, score.one(params, q, k, pair, seen[..., None, :]), v)
    # a softmax over nothing is uniform: such a query reads 0
    return jnp.where(seen.any(-1).reshape(rows, heads, 1), y, 0)

  return one(score.rotate(q, position), position, tokens.start, seen), ()


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  mask: Mask = WHOLE,
  score: Scores = ROTARY,
  block_size: int = 128,
  implementation: str = "auto",
) -> tuple[Float[Array, "B T A V"], State]:
  """`dense` in blocks of queries and keys.

  Cost: 2 (K + V) multiplies a pair and head of the blocks that some query sees
  something of; memory linear in T.

  Args:
    params: see `dense`.
    inputs: q, k, v as in `dense`.
    state: ().
    reset: True on the first token of a document.
    mask: see `dense`.
    score: see `dense`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    implementation: see `dispatch.choose`.

  Returns:
    y in the dtype of v, and ().

  Raises:
    ValueError: if block_size < 1, or an implementation refuses.
  """
  q, k, v = inputs
  tokens = call(*q.shape[:2], reset)
  position = tokens.in_document  # [B, T]
  q, k = score.rotate(q, position), score.rotate(k, position)
  spec = AttentionSpec(mask, score, block_size, implementation)
  y, lse = dispatch.attend(spec, params, q, (k, v), tokens)
  return score.apply_attention_sink(params, y, lse), ()


AXES = ()
FORMS = scan.of_any_rows({"dense": dense, "parallel": parallel})


def call(rows: int, length: int, reset: Reset | None) -> Tokens:
  """The tokens of a call that holds whole documents, with the documents' lengths."""
  index = jnp.broadcast_to(scan.indices(length), (rows, length))
  if reset is None:
    return Tokens(index, jnp.zeros_like(index), jnp.full_like(index, length))
  start = jax.lax.cummax(jnp.where(reset, index, 0), axis=1)
  # the next document's first token: the least reset to the right, one token on
  end = jnp.where(reset, index, length)
  end = jax.lax.cummin(jnp.roll(end.at[:, 0].set(length), -1, axis=1), 1, reverse=True)
  return Tokens(index, start, end - start)


def example(key: Array, batch_size: int, length: int):
  """A small random case: (params, inputs, ())."""
  params, inputs, _ = window.example(key, batch_size, length)
  return params, inputs, ()


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred, the same key throughout half of the document."""
  params, inputs, _ = window.stress(key, batch_size, length)
  return params, inputs, ()
