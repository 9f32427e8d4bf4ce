"""The tokens of a call and those kept of before: what attention asks of time.

An op that keeps its last W tokens says what is kept of a token and what attention it is
(an `AttentionSpec`). Where the tokens lie is answered here: all on this device. Where
devices share the time of a call, `jaxmem.parallel.sharded_timeline` answers instead.
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
    """The tokens that are here.

    Args:
      position: tokens of the document before the call.
      length: how many tokens are here.
      reset: True on the first token of a document.
    """
    return cache.call(position, length, reset)

  def before(self, summary: Callable[[], Any], initial: Any, combine: Callable) -> Any:
    """The summary of everything before the tokens that are here.

    Args:
      summary: of the tokens here; computed only where another device needs it.
      initial: of all before the call.
      combine: of two stretches that follow each other.
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
    """Every query reads the call and the ring.

    Args:
      spec: what attention; its mask lets nobody see more than W - 1 tokens back.
      params: of the scores.
      q: queries.
      kept: k, v and what else is kept of the tokens that are here, [B, T, ...].
      queries: the tokens that are here, see `call`.
      ring: what was kept before the call, [B, W, ...].
      position: tokens of the document before the call.
      query_extra: a tree of [B, T, ...], what else a bias reads of every query.

    Returns:
      y, and the log of the denominator, which may be NaN unless `spec.with_lse`.
    """
    backend = dispatch.choose(spec, q, *kept[:2])
    if backend is None:
      line = cache.line(ring, position, kept, queries)  # [B, W + T, ...]
      return engine.attend(spec, params, q, line.kept, queries, line.keys, query_extra)
    # another library reads the call alone; our blocks stand by where there is a memory
    by_blocks = dataclasses.replace(spec, implementation="xla")
    blocks = functools.partial(
      self.attend, by_blocks, params, q, kept, queries, ring, position, query_extra
    )
    return dispatch.run(backend, spec, q, kept, queries, blocks)

  def after(
    self, ring: Ring, kept: tuple, queries: Tokens
  ) -> tuple[Ring, Int[Array, " B"]]:
    """The ring after the call, and the document's tokens so far.

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
    """The first tokens of the document under way, in front of those that are here.

    Args:
      first: those of the document before the call, [B, M, ...].
      kept: of the tokens that are here.
      queries: the tokens that are here.
    """
    size = jax.tree.leaves(first)[0].shape[1]
    start = queries.start[:, :1]
    position = start + scan.indices(size)  # [B, M]
    # those that are here, too, are not read twice
    start = jnp.where(position < queries.position[:, :1], start, NOWHERE)

    def join(a, b):
      return jnp.concatenate([a.astype(b.dtype), b], axis=1)

    keys = Tokens(join(position, queries.position), join(start, queries.start))
    return jax.tree.map(join, self.early(first, kept, position), kept), keys

  def early(self, first: Ring, kept: tuple, position: Int[Array, "B M"]) -> Ring:
    """The tokens at positions before those that are here.

    Args:
      first: those before the call, whose positions are negative.
      kept: of the tokens that are here, which others may need.
      position: of the tokens that are looked for.
    """
    return first

  def last_sinks(self, first: Ring, kept: tuple, queries: Tokens) -> Ring:
    """The first tokens of the document that the call's last token belongs to.

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
    """The position of the call's last token, and its document's start."""
    return queries.position[0, -1], queries.start[:, -1]

  def fetch(self, kept: tuple, position: Int[Array, "B S"]) -> tuple:
    """What is kept of the call's tokens at positions; anything outside of the call."""
    index = jnp.clip(position, 0, jax.tree.leaves(kept)[0].shape[1] - 1)
    return jax.tree.map(lambda x: cache.take(x, index), kept)


WHOLE = Timeline()
