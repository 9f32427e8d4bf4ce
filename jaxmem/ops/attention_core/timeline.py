"""The tokens of a call and those kept of before: what attention asks of time.

An op that keeps its last W tokens says what is kept of a token, who sees whom and what
a softmax is of. Where the tokens lie is said here: all on this device. Where devices
share the time of a call, `jaxmem.parallel.sharded_timeline` answers the same questions.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Reset
from jaxmem.ops.attention_core import cache, dispatch
from jaxmem.ops.attention_core.cache import Ring
from jaxmem.ops.attention_core.masks import Mask
from jaxmem.ops.attention_core.scores import Known, Params, Scores
from jaxmem.ops.attention_core.tokens import NOWHERE, Tokens


@dataclasses.dataclass(frozen=True)
class Reading:
  """Who reads, and how: what does not depend on where the keys lie.

  Attributes:
    score: what the softmax is of.
    params: of the score.
    mask: who sees whom, and nobody more than W - 1 tokens back.
    block_size: tokens of a block.
    implementation: see `dispatch.choose`.
    merged: whether the denominator is asked for.
  """

  score: Scores
  params: Params
  mask: Mask
  block_size: int
  implementation: str = "xla"
  merged: bool = True

  def ask(self, q: Array, held: tuple, cut: bool = False) -> dispatch.Ask:
    """The call, for backends to refuse."""
    k, v, *_ = held
    return dispatch.Ask(q, k, v, self.mask, self.score, self.merged, cut)

  def alone(
    self,
    q: Float[Array, "B T A K"],
    held: tuple,
    tokens: Tokens,
    blocks: Callable | None = None,
  ) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
    """A call that reads its own tokens, by the backend that can.

    Args:
      q: queries.
      held: k and v of the same tokens.
      tokens: where they lie.
      blocks: the same by our blocks, where there is more to read.
    """
    own = functools.partial(self, q, held, tokens, tokens)
    ask = self.ask(q, held)
    return dispatch.attend(self.implementation, ask, tokens, blocks or own)

  def __call__(
    self,
    q: Float[Array, "B T A K"],
    held: tuple,
    queries: Tokens,
    keys: Tokens,
    query: Any = (),
    engine: Callable | None = None,
  ) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
    """y and the log of the denominator, over the keys given.

    Args:
      q: queries.
      held: k, v and, where there is more, what else the score is told of every key.
      queries: where the queries lie.
      keys: where the keys lie.
      query: what else the score is told of every query.
      engine: see `blockwise.attend`.
    """
    k, v, *known = held
    return self.score.attend(
      self.params,
      q,
      k,
      v,
      queries,
      keys,
      self.mask,
      self.block_size,
      Known(query, *known),
      engine,
    )


class Timeline:
  """A call whose tokens are all on this device, at the places 0 .. T-1."""

  def call(
    self, position: Int[Array, " B"], length: int, reset: Reset | None
  ) -> Tokens:
    """The tokens that are here; `position` counts those of the document before."""
    return cache.call(position, length, reset)

  def before(self, own: Callable[[], Any], given: Any, combine: Callable) -> Any:
    """What came before the tokens that are here adds up to.

    Args:
      own: what the tokens here add up to; asked only where others want to know.
      given: what all before the call adds up to.
      combine: of two that follow each other.
    """
    return given

  def attend(
    self,
    reading: Reading,
    q: Float[Array, "B T A K"],
    kept: tuple,
    queries: Tokens,
    ring: Ring,
    position: Int[Array, " B"],
    query: Any = (),
  ) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
    """Every query reads the call and the ring.

    Args:
      reading: how.
      q: queries.
      kept: k, v and what else is kept of the tokens that are here, [B, T, ...].
      queries: the tokens that are here, see `call`.
      ring: what was kept before the call, [B, W, ...].
      position: tokens of the document before the call.
      query: what else the score is told of every query.
    """

    def blocks():
      line = cache.line(ring, position, kept, queries)
      return reading(q, line.held, queries, line.keys, query)

    return reading.alone(q, kept, queries, blocks)

  def after(
    self, ring: Ring, kept: tuple, queries: Tokens
  ) -> tuple[Ring, Int[Array, " B"]]:
    """The ring after the call, and the document's tokens so far."""
    size = jax.tree.leaves(ring)[0].shape[1]
    end, start = self.last(queries)
    position = end - start
    age = cache.ages(position, size)
    new = self.fetch(kept, end - age)

    def one(old, x):
      x = cache.pick(end - age >= 0, x.astype(old.dtype), old)
      return cache.pick(age <= position[:, None], x, jnp.zeros_like(x))

    return jax.tree.map(one, ring, new), position + 1

  def sinks(self, first: Ring, kept: tuple, queries: Tokens) -> tuple[tuple, Tokens]:
    """The first tokens of the document under way, in front of those that are here.

    Args:
      first: those of the document before the call, [B, M, ...].
      kept: of the tokens that are here.
      queries: the tokens that are here.
    """
    size = jax.tree.leaves(first)[0].shape[1]
    start = queries.start[:, :1]
    place = start + jnp.arange(size, dtype=jnp.int32)
    begun = jnp.where(place < queries.place[:, :1], start, NOWHERE)
    both = lambda a, b: jnp.concatenate([a.astype(b.dtype), b], axis=1)
    keys = Tokens(both(place, queries.place), both(begun, queries.start))
    return jax.tree.map(both, self.early(first, kept, place), kept), keys

  def early(self, first: Ring, kept: tuple, place: Int[Array, "B M"]) -> Ring:
    """The tokens at places before those that are here; the sinks `first` before 0."""
    return first

  def last_sinks(self, first: Ring, kept: tuple, queries: Tokens) -> Ring:
    """The first tokens of the document that the call's last token is of."""
    size = jax.tree.leaves(first)[0].shape[1]
    end, start = self.last(queries)
    place = start[:, None] + jnp.arange(size, dtype=jnp.int32)

    def one(old, x):
      x = cache.pick(place >= 0, x.astype(old.dtype), old)
      return cache.pick(place <= end, x, jnp.zeros_like(x))

    return jax.tree.map(one, first, self.fetch(kept, place))

  def last(self, queries: Tokens) -> tuple[Int[Array, ""], Int[Array, " B"]]:
    """The place of the call's last token, and its document's start."""
    return queries.place[0, -1], queries.start[:, -1]

  def fetch(self, kept: tuple, place: Int[Array, "B S"]) -> tuple:
    """What is kept of the call's tokens at these places; anything outside of it."""
    index = jnp.clip(place, 0, jax.tree.leaves(kept)[0].shape[1] - 1)
    return jax.tree.map(lambda x: cache.take(x, index), kept)


WHOLE = Timeline()
