"""Where the tokens of a call lie, and those kept from before it, for attention ops.

An op that keeps its last W tokens decides what is kept of a token and which attention
it is (an `AttentionSpec`). A `Timeline` knows where the tokens are: all on this
device, or, in `jaxmem.parallel.sharded_timeline`, on devices that share the time.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Reset
from jaxmem.ops.attention_core import cache, dispatch, engine
from jaxmem.ops.attention_core.cache import Ring
from jaxmem.ops.attention_core.scores import Params
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import NOWHERE, Tokens
from jaxmem.ops.recurrence import scan


class Timeline:
  """A call whose tokens are all on this device, at the positions 0 .. T-1."""

  def call(
    self, position: Int[Array, " B"], length: int, reset: Reset | None
  ) -> Tokens:
    """Returns the tokens of the call that are here, that is on this device.

    Args:
      position: tokens of the document before the call.
      length: how many tokens are here.
      reset: True on the first token of a document.
    """
    return cache.call(position, length, reset)

  def before(self, summary: Callable[[], Any], initial: Any, combine: Callable) -> Any:
    """Returns the summary of everything before the tokens that are here.

    Args:
      summary: summarises the tokens here; called only where another device needs it.
      initial: the summary of all tokens before the call.
      combine: `(earlier, later) -> summary` of two stretches that follow each other.
    """
    return initial

  def attend(
    self,
    spec: AttentionSpec,
    params: Params,
    q: Float[Array, "B T A K"],
    kept: tuple,
    queries: Tokens,
    ring: Ring,
    position: Int[Array, " B"],
    query_extra: Any = (),
  ) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
    """Computes attention of every query to the call and to the ring buffer.

    Args:
      spec: the attention; under its mask no query sees more than W - 1 tokens back.
      params: parameters of the scores.
      q: queries.
      kept: k, v and what else is kept of the tokens that are here, [B, T, ...].
      queries: the tokens that are here, see `call`.
      ring: what was kept before the call, [B, W, ...].
      position: tokens of the document before the call.
      query_extra: a tree of [B, T, ...] that the bias reads of every query.

    Returns:
      y, and the log of the denominator, which may be NaN unless `spec.with_lse`.
    """
    backend = dispatch.choose(spec, q, *kept[:2])
    if backend is None:
      line = cache.line(ring, position, kept, queries)  # [B, W + T, ...]
      return engine.attend(spec, params, q, line.kept, queries, line.keys, query_extra)
    # other libraries read the call alone: where the ring holds tokens our blocks run
    by_blocks = dataclasses.replace(spec, implementation="xla")
    blocks = functools.partial(
      self.attend, by_blocks, params, q, kept, queries, ring, position, query_extra
    )
    return dispatch.run(backend, spec, q, kept, queries, blocks)

  def after(
    self, ring: Ring, kept: tuple, queries: Tokens
  ) -> tuple[Ring, Int[Array, " B"]]:
    """Returns the ring after the call, and the number of the document's tokens so far.

    Args:
      ring: before the call.
      kept: k, v and what else is kept of the tokens that are here.
      queries: the tokens that are here.
    """
    size = jax.tree.leaves(ring)[0].shape[1]
    end, start = self.last(queries)
    position = end - start
    age = cache.ages(position, size)  # [B, W]
    new = self.fetch(kept, end - age)

    def slots(old, x):
      # slots that the call did not reach keep the old tokens of a document that
      # continues, and are emptied where a new one has begun
      x = cache.pick(end - age >= 0, x.astype(old.dtype), old)
      return cache.pick(age <= position[:, None], x, jnp.zeros_like(x))

    return jax.tree.map(slots, ring, new), position + 1

  def sinks(self, first: Ring, kept: tuple, queries: Tokens) -> tuple[tuple, Tokens]:
    """Puts the first tokens of the current document in front of those that are here.

    Args:
      first: those of the document before the call, [B, M, ...].
      kept: of the tokens that are here.
      queries: the tokens that are here.
    """
    size = jax.tree.leaves(first)[0].shape[1]
    start = queries.start[:, :1]
    position = start + scan.indices(size)  # [B, M]
    # a first token that is here as well must not be read twice
    start = jnp.where(position < queries.position[:, :1], start, NOWHERE)

    def join(a, b):
      return jnp.concatenate([a.astype(b.dtype), b], axis=1)

    keys = Tokens(join(position, queries.position), join(start, queries.start))
    return jax.tree.map(join, self.early(first, kept, position), kept), keys

  def early(self, first: Ring, kept: tuple, position: Int[Array, "B M"]) -> Ring:
    """Returns the tokens at positions before those that are here.

    Args:
      first: those before the call, whose positions are negative.
      kept: of the tokens that are here, which other devices may need.
      position: positions of the tokens to return.
    """
    return first

  def last_sinks(self, first: Ring, kept: tuple, queries: Tokens) -> Ring:
    """Returns the first tokens of the document that the call's last token belongs to.

    Args:
      first: those of the document before the call, [B, M, ...].
      kept: of the tokens that are here.
      queries: the tokens that are here.
    """
    size = jax.tree.leaves(first)[0].shape[1]
    end, start = self.last(queries)
    position = start[:, None] + scan.indices(size)  # [B, M]

    def slots(old, x):
      x = cache.pick(position >= 0, x.astype(old.dtype), old)
      return cache.pick(position <= end, x, jnp.zeros_like(x))

    return jax.tree.map(slots, first, self.fetch(kept, position))

  def last(self, queries: Tokens) -> tuple[Int[Array, ""], Int[Array, " B"]]:
    """Returns the position of the call's last token, and its document's start."""
    return queries.position[0, -1], queries.start[:, -1]

  def fetch(self, kept: tuple, position: Int[Array, "B S"]) -> tuple:
    """Returns what is kept at positions of the call; outside of it any values."""
    index = jnp.clip(position, 0, jax.tree.leaves(kept)[0].shape[1] - 1)
    return jax.tree.map(lambda x: cache.take(x, index), kept)


WHOLE = Timeline()
