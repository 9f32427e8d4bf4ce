"""A memory of the last W tokens, or of the first M: what was kept, and its arithmetic.

In a ring the document's token p stands in slot p mod W, among the first in slot p.
`position` counts the document's tokens so far, so it says which slots hold anything;
zeros are the empty memory.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxmem.core.typing import Reset
from jaxmem.ops.attention_core.tokens import NOWHERE, Tokens
from jaxmem.ops.recurrence import scan

# Trees of arrays [B, W, ...]: what is kept of every token.
Ring = Any


def take(x: Array, index: Int[Array, "B ..."]) -> Array:
  """x[b, index[b, ...]] for x [B, S, ...]."""
  return jax.vmap(lambda row, i: row[i])(x, index)


# From this many slots on a second copy of the ring is what a step would cost.
_LONG = 1024


def write(ring: Ring, position: Int[Array, " B"], new: Any) -> Ring:
  """The ring with one more token in it.

  Args:
    ring: a tree of [B, W, ...].
    position: of the token in its document.
    new: what is kept of it, a tree of [B, ...].
  """
  rows = scan.indices(position.shape[0])
  size = jax.tree.leaves(ring)[0].shape[1]

  def put(ring, position, new):
    at = rows, position % size
    return jax.tree.map(lambda a, x: a.at[at].set(x.astype(a.dtype)), ring, new)

  def put_in_branch(ring, position, new):
    # XLA on CPU fuses a write with every reader, each into a copy of the ring; it does
    # not fuse across a branch, so this one, always taken, is written in place
    is_token = (position >= 0).any()
    return jax.lax.cond(is_token, put, lambda ring, *_: ring, ring, position, new)

  if size < _LONG:
    return put(ring, position, new)
  return jax.lax.platform_dependent(ring, position, new, cpu=put_in_branch, default=put)


def ages(position: Int[Array, " B"], size: int) -> Int[Array, "B W"]:
  """How long ago every slot was written; a slot older than `position` holds nothing.

  Args:
    position: of the newest token in the ring.
    size: W.
  """
  return (position[:, None] - scan.indices(size)) % size


class Line(NamedTuple):
  """What was kept, oldest first, and the call after it, as one line of tokens.

  Attributes:
    kept: a tree of [B, W + T, ...].
    keys: where its tokens lie.
    queries: where those of the call lie.
  """

  kept: Ring
  keys: Tokens
  queries: Tokens


def line(ring: Ring, position: Int[Array, " B"], new: Any, queries: Tokens) -> Line:
  """The tokens kept and those of the call, which have the positions 0 .. T-1.

  Args:
    ring: before the call.
    position: tokens of the document before the call.
    new: what would be kept of each token of the call, [B, T, ...].
    queries: of the call.
  """
  size = jax.tree.leaves(ring)[0].shape[1]
  order = (position[:, None] + scan.indices(size)) % size  # the oldest slot first
  before = jnp.broadcast_to(scan.indices(size) - size, order.shape)  # -W .. -1
  start = -position[:, None]
  start = jnp.where(before >= start, start, NOWHERE)  # slots that hold nothing yet

  def join(old, x):
    return jnp.concatenate([take(old, order).astype(x.dtype), x], axis=1)

  keys = Tokens(
    jnp.concatenate([before, queries.position], axis=1),
    jnp.concatenate([start, queries.start], axis=1),
  )
  return Line(jax.tree.map(join, ring, new), keys, queries)


def call(position: Int[Array, " B"], length: int, reset: Reset | None) -> Tokens:
  """The tokens of a call, at the positions 0 .. T-1.

  Args:
    position: tokens of the document before the call.
    length: T.
    reset: True on the first token of a document.
  """
  index = jnp.broadcast_to(scan.indices(length), (position.shape[0], length))
  start = jnp.broadcast_to(-position[:, None], index.shape)
  if reset is not None:
    newest = jax.lax.cummax(jnp.where(reset, index, -1), axis=1)
    start = jnp.where(newest >= 0, newest, start)
  return Tokens(index, start)


def write_first(first: Ring, position: Int[Array, " B"], new: Any) -> Ring:
  """The first tokens with the one at `position`, which is dropped where it comes late.

  Args:
    first: a tree of [B, M, ...].
    position: of the token in its document.
    new: what would be kept of it, a tree of [B, ...].
  """
  at = scan.indices(position.shape[0]), position

  def put(a, x):
    return a.at[at].set(x.astype(a.dtype), mode="drop")

  return jax.tree.map(put, first, new)


def pick(slots: Bool[Array, "B W"], yes: Array, no: Array | int) -> Array:
  """`yes` [B, W, ...] in the slots that are True, `no` in the others."""
  return jnp.where(slots.reshape(*slots.shape, *[1] * (yes.ndim - 2)), yes, no)
