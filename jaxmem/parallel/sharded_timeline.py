"""Attention over shards of time: windows by halo, longer reach by ring or by heads.

Here `ring` is the ring buffer of kept tokens (`cache.Ring`); the ring of devices is
`ring_attention`.

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

from jaxmem.ops.attention_core import cache, dispatch, engine, scores
from jaxmem.ops.attention_core.masks import Mask, Pair
from jaxmem.ops.attention_core.timeline import Timeline
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import scan
from jaxmem.parallel import ring as ring_attention


@dataclasses.dataclass(frozen=True)
class ShardedTimeline(Timeline):
  """A call whose tokens lie on the devices of a mesh axis, neighbours in order.

  A window of at most half the call gets the W - 1 tokens before its shard from the
  shards that have them (a halo). A longer reach has two layouts:

  "ring": every device keeps its queries, and keys and values go round; chunks are dealt
    in zigzag order first, which balances the work under a causal mask.
  "ulysses": every device takes all tokens of some heads, there and back by one
    all-to-all each; key heads must divide into the shards.
  "auto": "ulysses" where it is possible, else "ring".

  Attributes:
    axis: mesh axis; the methods run inside `shard_map` over it.
    layout: "auto", "ring" or "ulysses".
  """

  axis: str
  layout: str = "auto"

  @property
  def count(self) -> int:
    """How many devices share the time of the call."""
    return jax.lax.axis_size(self.axis)

  @property
  def shard(self) -> Array:
    """The index of this device among them."""
    return jax.lax.axis_index(self.axis)

  def call(self, position, length, reset):
    first = self.shard * length  # the position of the first token here
    start = -position  # [B], of a document that began before the call
    if reset is not None:
      newest = jnp.where(reset, scan.indices(length) + first, -1).max(1)  # [B]
      start = self.before(lambda: newest, start, _latest)
    tokens = cache.call(first - start, length, reset)
    return Tokens(tokens.position + first, tokens.start + first)

  def before(self, summary, initial, combine):
    # [N, ...], the summaries of all shards
    parts = jax.tree.map(lambda a: jax.lax.all_gather(a, self.axis), summary())

    def add(total, xs):
      shard, part = xs
      is_before = shard < self.shard
      both = combine(total, part)
      return jax.tree.map(lambda a, b: jnp.where(is_before, a, b), both, total), None

    return jax.lax.scan(add, initial, (scan.indices(self.count), parts))[0]

  def attend(self, spec, params, q, kept, queries, ring, position, query_extra=()):
    # raises where the spec names an implementation that cannot run over shards
    dispatch.choose(spec, q, *kept[:2], sharded=True)
    spec = dataclasses.replace(spec, implementation="xla")
    run = self._layout_method(kept, query_extra, ring, q.shape[1])
    return run(spec, params, q, tuple(kept), queries, ring, position, query_extra)

  def _layout_method(self, kept, query_extra, ring, length: int) -> Callable:
    """Chooses the method by which a call of `length` tokens a shard reads across."""
    size = jax.tree.leaves(ring)[0].shape[1]
    if 2 * size <= length * self.count:
      return self._by_halo
    why = self._why_not_by_heads(kept, query_extra)
    if self.layout == "ulysses" and why:
      raise ValueError(
        f"attention layout 'ulysses': {why}; use 'ring', which has no such bound"
      )
    return self._by_ring if self.layout == "ring" or why else self._by_heads

  def _by_halo(self, spec, params, q, kept, queries, ring, position, query_extra):
    """Reads the W tokens before the shard, from earlier shards or the ring buffer."""
    size, length = jax.tree.leaves(ring)[0].shape[1], q.shape[1]
    line = cache.line(ring, position, kept, queries)
    at = scan.indices(size) - size + self.shard * length  # of the W tokens before
    # tokens before the call are in the ring buffer
    index = jnp.minimum(at + size, size - 1)
    from_ring = at < 0

    def before_and_here(old, new):
      far = self._halo(new, size)  # [B, W, ...]
      slots = from_ring.reshape(1, -1, *[1] * (new.ndim - 2))
      far = jnp.where(slots, old[:, index], far)
      return jnp.concatenate([far, new], axis=1)

    far = self._halo(queries.start, size)
    start = jnp.where(from_ring, line.keys.start[:, index], far)
    at = jnp.broadcast_to(at, start.shape)
    keys = Tokens(
      jnp.concatenate([at, queries.position], axis=1),
      jnp.concatenate([start, queries.start], axis=1),
    )
    kv = jax.tree.map(before_and_here, line.kept, kept)
    return engine.attend(spec, params, q, kv, queries, keys, query_extra)

  def _halo(self, x: Array, size: int) -> Array:
    """Returns the `size` tokens before the shard; zeros before the call."""
    length, parts = x.shape[1], []
    for hop in range(1, -(-size // length) + 1):
      permutation = [(i, i + hop) for i in range(self.count - hop)]
      count = min(length, size - (hop - 1) * length)
      part = x[:, length - count :]  # the last tokens of a shard
      parts.insert(0, jax.lax.ppermute(part, self.axis, permutation))
    return jnp.concatenate(parts, axis=1)

  def _by_ring(self, spec, params, q, kept, queries, ring, position, query_extra):
    """Reads the ring buffer, which all devices have, and the call by ring attention."""
    no_tokens = jax.tree.map(lambda a: a[:, :0], (kept, queries))
    old = cache.line(ring, position, *no_tokens)
    past = engine.attend(spec, params, q, old.kept, queries, old.keys, query_extra)
    block, half = min(spec.block_size, q.shape[1]), q.shape[1] // 2
    # zigzag halves must be whole blocks
    balanced = q.shape[1] % 2 == 0 and half % min(block, max(half, 1)) == 0
    local = q, kept, queries, query_extra
    if balanced:
      spec = dataclasses.replace(spec, block_size=min(block, half))
      local = ring_attention.zigzag(local, self.axis)
    q, kept, queries, query_extra = local
    softmax = functools.partial(ring_attention.softmax, self.axis)
    y, lse = engine.attend(
      spec, params, q, kept, queries, queries, query_extra, softmax=softmax
    )
    if balanced:
      y, lse = ring_attention.unzigzag((y, lse), self.axis)
    return scores.merge(*past, y, lse)

  def _why_not_by_heads(self, kept, query_extra) -> str | None:
    """Returns the reason why heads cannot be swapped for time; None if they can."""
    heads = kept[0].shape[2]
    if heads % self.count:
      return f"{heads} key heads do not divide into {self.count} shards"
    if len(kept) > 2 or jax.tree.leaves(query_extra):
      return "the scores read more of every token than its heads"
    return None

  def _by_heads(self, spec, params, q, kept, queries, ring, position, query_extra):
    """Computes all tokens of some heads, between two all-to-alls."""
    swap = functools.partial(jax.lax.all_to_all, axis_name=self.axis, tiled=True)
    to_heads = functools.partial(swap, split_axis=2, concat_axis=1)  # [B, T, A / N, .]
    to_time = functools.partial(swap, split_axis=1, concat_axis=2)  # [B, T / N, A, .]

    def heads_here(a):
      count = a.shape[2] // self.count
      return jax.lax.dynamic_slice_in_dim(a, self.shard * count, count, axis=2)

    def all_time(a):
      return jax.lax.all_gather(a, self.axis, axis=1, tiled=True)

    q, kept = jax.tree.map(to_heads, (q, kept))
    spec = dataclasses.replace(spec, mask=_MaskOfShard(spec.mask, self.axis))
    if spec.scores.bias is not None:
      bias = _BiasOfShard(spec.scores.bias, self.axis)
      spec = dataclasses.replace(
        spec, scores=dataclasses.replace(spec.scores, bias=bias)
      )
    queries, ring = jax.tree.map(all_time, queries), jax.tree.map(heads_here, ring)
    y, lse = super().attend(spec, params, q, kept, queries, ring, position, query_extra)
    return to_time(y), to_time(lse)

  def early(self, first, kept, position):
    size, length = position.shape[1], jax.tree.leaves(kept)[0].shape[1]
    of_all = jax.lax.all_gather(position, self.axis)  # [N, B, M]
    flat = jnp.moveaxis(of_all, 0, 1).reshape(position.shape[0], -1)  # [B, N M]

    def fetch(old, x):
      # select what each device needs of the tokens here, and sum what devices select
      mine = self._select_local(x, flat, length).reshape(
        x.shape[0], -1, size, *x.shape[2:]
      )
      new = jax.lax.psum_scatter(mine, self.axis, scatter_dimension=1)
      return cache.pick(position >= 0, new, old.astype(x.dtype))

    return jax.tree.map(fetch, first, tuple(kept))

  def last(self, queries):
    length = queries.position.shape[1]
    is_last = self.shard == self.count - 1
    start = jnp.where(is_last, queries.start[:, -1], 0)
    return length * self.count - 1, jax.lax.psum(start, self.axis)

  def fetch(self, kept, position):
    length = jax.tree.leaves(kept)[0].shape[1]

    def fetch(x):
      return jax.lax.psum(self._select_local(x, position, length), self.axis)

    return jax.tree.map(fetch, kept)

  def _select_local(self, x: Array, position: Array, length: int) -> Array:
    """Returns the tokens at these positions that are here, zeros for the others."""
    index = position - self.shard * length
    is_here = (index >= 0) & (index < length)
    tokens = cache.take(x, jnp.clip(index, 0, length - 1))
    return cache.pick(is_here, tokens, jnp.zeros_like(tokens))


# The name before 0.2.
Cut = ShardedTimeline


def _latest(a: Array, b: Array) -> Array:
  """Returns the later of two resets; -1 stands for none."""
  return jnp.where(b >= 0, b, a)


def _of_all_heads(pair: Pair, axis: str) -> Pair:
  """Returns the pair with its head numbered among those of all devices."""
  heads = pair.head.size
  return pair._replace(head=pair.head + jax.lax.axis_index(axis) * heads)


@dataclasses.dataclass(frozen=True)
class _MaskOfShard(Mask):
  """A mask for the heads of one shard, which are numbered among all."""

  mask: Mask
  axis: str

  def allows(self, pair):
    return self.mask.allows(_of_all_heads(pair, self.axis))

  def block_overlaps(self, bounds):
    return self.mask.block_overlaps(bounds)


@dataclasses.dataclass(frozen=True)
class _BiasOfShard:
  """A bias for the heads of one shard, which are numbered among all."""

  bias: Callable
  axis: str

  def __call__(self, params: Any, query: Any, key: Any, pair: Pair) -> Array:
    return self.bias(params, query, key, _of_all_heads(pair, self.axis))
