"""Attention whose call is cut in shards of time: windows by halo, the rest by ring.

Source: Liu et al. 2023, arXiv:2310.01889 (ring); Jacobs et al. 2023, arXiv:2309.14509
(heads for time, "Ulysses").
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmem.ops.attention_core import cache, dispatch, scores
from jaxmem.ops.attention_core.masks import Mask, Pair
from jaxmem.ops.attention_core.timeline import Timeline
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import scan
from jaxmem.parallel import ring as rings


@dataclasses.dataclass(frozen=True)
class Cut(Timeline):
  """A call whose tokens lie on the devices of a mesh axis, neighbours in order.

  A window of at most half the call takes what it sees from the shards before it, W - 1
  tokens in all. A longer reach goes by one of two layouts inside attention:

  "ring": every device keeps its queries, keys and values go round; early and late
    chunks are dealt out first, so that under a causal mask all have the same to do.
  "ulysses": every device takes all tokens of some heads, there and back by one
    all-to-all each; key heads must divide into the shards.
  "auto": "ulysses" where that can be, else "ring".

  Attributes:
    axis: of the mesh; the code runs inside `shard_map` over it.
    layout: "auto", "ring" or "ulysses".
  """

  axis: str
  layout: str = "auto"

  @property
  def count(self) -> int:
    return jax.lax.axis_size(self.axis)

  @property
  def shard(self) -> Array:
    return jax.lax.axis_index(self.axis)

  def call(self, position, length, reset):
    first = self.shard * length
    begun = -position
    if reset is not None:
      place = scan.indices(length) + first
      newest = jnp.where(reset, place, -1).max(1)
      combine = lambda a, b: jnp.where(b >= 0, b, a)
      begun = self.before(lambda: newest, begun, combine)
    tokens = cache.call(first - begun, length, reset)
    return Tokens(tokens.place + first, tokens.start + first)

  def before(self, own, given, combine):
    parts = jax.tree.map(lambda a: jax.lax.all_gather(a, self.axis), own())

    def one(total, xs):
      i, part = xs
      both = combine(total, part)
      pick = lambda a, b: jnp.where(i < self.shard, a, b)
      return jax.tree.map(pick, both, total), None

    return jax.lax.scan(one, given, (scan.indices(self.count), parts))[0]

  def attend(self, reading, q, kept, queries, ring, position, query=()):
    # refuses what was asked for by name and cannot be
    dispatch.choose(reading.implementation, reading.ask(q, kept, cut=True))
    reading = dataclasses.replace(reading, implementation="xla")
    held = (q, kept, queries, ring, position, query)
    size, length = jax.tree.leaves(ring)[0].shape[1], q.shape[1]
    if 2 * size <= length * self.count:
      return self._near(reading, *held)
    why = self._whole_heads(kept, query)
    if self.layout == "ulysses" and why:
      raise ValueError(f"attention layout 'ulysses': {why}; 'ring' has no such bounds")
    if self.layout == "ring" or why:
      return self._round(reading, *held)
    return self._swapped(reading, *held)

  def _near(self, reading, q, kept, queries, ring, position, query):
    """The last W tokens before the shard, from the shards before it or the ring."""
    size, length = jax.tree.leaves(ring)[0].shape[1], q.shape[1]
    before = cache.line(ring, position, kept, queries)
    first = self.shard * length
    place = scan.indices(size) - size + first
    # where the window goes back beyond the call, the ring has it
    index = jnp.minimum(place + size, size - 1)
    old = place < 0

    def one(held, new):
      far = self._halo(new, size)
      mask = old.reshape(1, -1, *[1] * (new.ndim - 2))
      return jnp.concatenate([jnp.where(mask, held[:, index], far), new], axis=1)

    start = jnp.where(old, before.keys.start[:, index], self._halo(queries.start, size))
    place = jnp.broadcast_to(place, start.shape)
    both = lambda a, b: jnp.concatenate([a, b], axis=1)
    keys = Tokens(both(place, queries.place), both(start, queries.start))
    held = jax.tree.map(lambda a: a[:, :size], before.held)
    held = jax.tree.map(one, held, tuple(kept))
    return reading(q, held, queries, keys, query)

  def _halo(self, x: Array, size: int) -> Array:
    """The `size` tokens before the shard; zeros before the call."""
    length, parts = x.shape[1], []
    for hop in range(1, -(-size // length) + 1):
      to = [(i, i + hop) for i in range(self.count - hop)]
      some = min(length, size - (hop - 1) * length)
      parts.insert(0, jax.lax.ppermute(x[:, length - some :], self.axis, to))
    return jnp.concatenate(parts, axis=1)

  def _round(self, reading, q, kept, queries, ring, position, query):
    """What was kept before the call, which all devices have, and the ring of these."""
    nothing = jax.tree.map(lambda a: a[:, :0], (tuple(kept), queries))
    old = cache.line(ring, position, *nothing)
    past = reading(q, old.held, queries, old.keys, query)
    block, half = min(reading.block_size, q.shape[1]), q.shape[1] // 2
    balanced = q.shape[1] % 2 == 0 and half % min(block, max(half, 1)) == 0
    here = q, tuple(kept), queries, query
    if balanced:
      reading = dataclasses.replace(reading, block_size=min(block, half))
      here = rings.deal(here, self.axis)
    q, kept, queries, query = here
    engine = functools.partial(rings.attend, self.axis)
    y, lse = reading(q, kept, queries, queries, query, engine)
    if balanced:
      y, lse = rings.collect((y, lse), self.axis)
    return scores.merge(*past, y, lse)

  def _whole_heads(self, kept, query) -> str | None:
    """Why heads cannot be swapped for time; None if they can."""
    heads = kept[0].shape[2]
    if heads % self.count:
      return f"{heads} key heads do not divide into {self.count} shards"
    if len(kept) > 2 or jax.tree.leaves(query):
      return "the scores know more of every token than its heads"
    return None

  def _swapped(self, reading, q, kept, queries, ring, position, query):
    """All tokens of some heads, there and back by one all-to-all each."""
    swap = functools.partial(jax.lax.all_to_all, axis_name=self.axis, tiled=True)
    there = lambda a: swap(a, split_axis=2, concat_axis=1)
    back = lambda a: swap(a, split_axis=1, concat_axis=2)

    def own(a):
      some = a.shape[2] // self.count
      return jax.lax.dynamic_slice_in_dim(a, self.shard * some, some, axis=2)

    gather = lambda a: jax.lax.all_gather(a, self.axis, axis=1, tiled=True)
    q, kept = jax.tree.map(there, (q, tuple(kept)))
    score, mask = reading.score, _Later(reading.mask, self.axis)
    if score.bias is not None:
      score = dataclasses.replace(score, bias=_LaterBias(score.bias, self.axis))
    reading = dataclasses.replace(reading, score=score, mask=mask)
    queries, ring = jax.tree.map(gather, queries), jax.tree.map(own, ring)
    y, lse = super().attend(reading, q, kept, queries, ring, position, query)
    return back(y), back(lse)

  def early(self, first, kept, place):
    size, length = place.shape[1], jax.tree.leaves(kept)[0].shape[1]
    everyone = jax.lax.all_gather(place, self.axis)  # [N, B, M]
    flat = jnp.moveaxis(everyone, 0, 1).reshape(place.shape[0], -1)

    def one(old, x):
      mine = self._mine(x, flat, length).reshape(x.shape[0], -1, size, *x.shape[2:])
      got = jax.lax.psum_scatter(mine, self.axis, scatter_dimension=1)
      return cache.pick(place >= 0, got, old.astype(x.dtype))

    return jax.tree.map(one, first, tuple(kept))

  def last(self, queries):
    length = queries.place.shape[1]
    here = self.shard == self.count - 1
    start = jnp.where(here, queries.start[:, -1], 0)
    return length * self.count - 1, jax.lax.psum(start, self.axis)

  def fetch(self, kept, place):
    length = jax.tree.leaves(kept)[0].shape[1]
    one = lambda x: jax.lax.psum(self._mine(x, place, length), self.axis)
    return jax.tree.map(one, kept)

  def _mine(self, x: Array, place: Array, length: int) -> Array:
    """The tokens at these places that are here, zeros for the others."""
    index = place - self.shard * length
    mine = (index >= 0) & (index < length)
    got = cache.take(x, jnp.clip(index, 0, length - 1))
    return cache.pick(mine, got, jnp.zeros_like(got))


def _true(pair: Pair, axis: str) -> Pair:
  """The pair with the number that its head has among those of all devices."""
  heads = pair.head.size
  return pair._replace(head=pair.head + jax.lax.axis_index(axis) * heads)


@dataclasses.dataclass(frozen=True)
class _Later(Mask):
  """A mask of heads that are the shard's part of all."""

  mask: Mask
  axis: str

  def sees(self, pair):
    return self.mask.sees(_true(pair, self.axis))

  def touches(self, reach):
    return self.mask.touches(reach)


@dataclasses.dataclass(frozen=True)
class _LaterBias:
  """Likewise a bias."""

  bias: Callable
  axis: str

  def __call__(self, params: Any, query: Any, key: Any, pair: Pair) -> Array:
    return self.bias(params, query, key, _true(pair, self.axis))
