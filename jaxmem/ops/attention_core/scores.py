"""What a softmax is of: products of queries and keys, and what distance does to them.

Source: Press et al. 2021, arXiv:2108.12409, section 3 (ALiBi); Raffel et al. 2019,
arXiv:1910.10683, section 2.1 (T5's buckets); Gemma Team 2024, arXiv:2408.00118,
section 2 (soft cap); OpenAI 2025, arXiv:2508.10925 (a learned sink a head).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmem.ops.attention_core import rotary as rotations
from jaxmem.ops.attention_core.masks import Pair
from jaxmem.ops.attention_core.rotary import Rotary
from jaxmem.ops.recurrence import scan

Params = tuple[Float[Array, "..."], ...]

# The score of what is not seen: finite, so that the difference of two is 0, not NaN.
NOTHING = -1e30


@dataclasses.dataclass(frozen=True)
class ALiBi:
  """-slope distance, with the slopes 2^(-8/A), 2^(-16/A), ... of A heads."""

  heads: int

  def __call__(self, params: Any, query: Any, key: Any, pair: Pair) -> Array:
    slopes = jnp.asarray(_slopes(self.heads), jnp.float32)[pair.head]  # [H, N, 1, 1]
    return -slopes * jnp.abs(pair.distance).astype(slopes.dtype)


def _slopes(heads: int) -> list[float]:
  """Those of the power of two below, then every other one of the power above."""

  def powers(n: int) -> list[float]:
    return [2 ** (-8 * (i + 1) / n) for i in range(n)]

  whole = 2 ** math.floor(math.log2(heads))
  return powers(whole) + powers(2 * whole)[::2][: heads - whole]


@dataclasses.dataclass(frozen=True)
class Buckets:
  """A learned number for every bucket of distances and head: params ([buckets, A],).

  Half of the buckets (of each direction) are exact, the rest grow with the logarithm up
  to `farthest` and hold all beyond it.
  """

  count: int = 32
  farthest: int = 128
  both_ways: bool = False

  def __call__(self, params: Params, query: Any, key: Any, pair: Pair) -> Array:
    (table,) = params
    return table[self.bucket(pair.distance), pair.head]  # [B, H, N, C, C]

  def bucket(self, distance: Int[Array, "..."]) -> Int[Array, "..."]:
    """The bucket of every distance."""
    count, first = self.count, 0
    if self.both_ways:
      count //= 2
      first = jnp.where(distance < 0, count, 0)
      distance = jnp.abs(distance)
    distance = jnp.maximum(distance, 0)
    exact = count // 2
    # 1 in the place of 0: the logarithm is computed where it is not taken, too
    far = jnp.maximum(distance, 1).astype(jnp.float32) / exact
    log = jnp.log(far) / math.log(self.farthest / exact) * (count - exact)
    beyond = jnp.minimum(exact + log.astype(jnp.int32), count - 1)
    return first + jnp.where(distance < exact, distance, beyond)


@dataclasses.dataclass(frozen=True)
class _Near:
  """A bias that takes no distance for greater than `size`."""

  bias: Callable
  size: int

  def __call__(self, params: Any, query: Any, key: Any, pair: Pair) -> Array:
    near = jnp.maximum(pair.key, pair.query - self.size)
    return self.bias(params, query, key, pair._replace(key=near))


@dataclasses.dataclass(frozen=True)
class Scores:
  """From queries and keys to what the softmax is of; hashable.

  Attributes:
    rotary: how positions rotate queries and keys; None does not rotate them.
    scale: of the products; None is K^-0.5.
    cap: c in c tanh(score / c), before the bias; None does not cap.
    bias: added, `(params, query, key, pair) -> scores`; None adds nothing.
    sink: whether the last of the params is a logit for each head that takes its share
      of the softmax and gives nothing.
  """

  rotary: Rotary | None = Rotary()
  scale: float | None = None
  cap: float | None = None
  bias: Callable | None = None
  sink: bool = False

  def rotate(self, x: Float[Array, "B T H K"], position: Int[Array, "B T"]) -> Array:
    """Queries or keys rotated by their positions; as they are without `rotary`."""
    return rotations.at(x, position, self.rotary)

  def at_most(self, size: int) -> "Scores":
    """These scores with every distance beyond `size` taken for `size`."""
    return dataclasses.replace(self, bias=self.bias and _Near(self.bias, size))

  def factor(self, q: Float[Array, "... K"]) -> float:
    """What products are multiplied by."""
    scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
    return scale * (1.0 if self.rotary is None else self.rotary.sharpness)

  def bias_params(self, params: Params) -> Params:
    """The parameters of the bias: all but the learned sink's logits."""
    return params[:-1] if self.sink else params

  def one(
    self,
    params: Params,
    q: Float[Array, "B A K"],
    k: Float[Array, "B S H K"],
    pair: Pair,
    seen: Bool[Array, "B S"] | Bool[Array, "B 1 1 1 S"] | Bool[Array, "B H N 1 S"],
    query_extra: Any = (),
    key_extra: Any = (),
  ) -> Float[Array, "B H N S"]:
    """The scores of one query a row, NOTHING where a key is not seen.

    Args:
      params: of the bias and the learned sink.
      q: the query, rotated.
      k: the keys, rotated.
      pair: their positions.
      seen: which keys are seen, by all heads or by head.
      query_extra: a tree of [B, 1, ...], what else the bias reads of the query.
      key_extra: a tree of [B, S, ...], what else it reads of every key.
    """
    dtype = scan.state_dtype(q.dtype)
    q = grouped(q.astype(dtype), k.shape[2])  # [B, H, N, K]
    s = self.factor(q) * _with_keys(q, k.astype(dtype))  # [B, H, N, S]
    if self.cap is not None:
      s = self.cap * jnp.tanh(s / self.cap)
    if self.bias is not None:
      bias = self.bias(self.bias_params(params), query_extra, key_extra, pair)
      s = s + bias[..., 0, :]
    seen = seen[:, None, None] if seen.ndim == 2 else seen[..., 0, :]
    return jnp.where(seen, s, NOTHING)

  def read(
    self,
    params: Params,
    scores: Float[Array, "B H N S"],
    v: Float[Array, "B S H V"],
  ) -> Float[Array, "B A V"]:
    """The values weighted by the softmax of one query's scores."""
    if self.sink:
      logit = params[-1].reshape(1, *scores.shape[1:3], 1).astype(scores.dtype)
      logit = jnp.broadcast_to(logit, (*scores.shape[:3], 1))
      scores = jnp.concatenate([logit, scores], axis=-1)  # [B, H, N, 1 + S]
    p = jax.nn.softmax(scores)[..., int(self.sink) :]  # the sink gives nothing
    y = _with_values(p, v.astype(p.dtype))  # [B, H, N, V]
    return y.reshape(y.shape[0], -1, y.shape[-1]).astype(v.dtype)

  def apply_attention_sink(
    self, params: Params, y: Float[Array, "B T A V"], lse: Float[Array, "B T A"]
  ) -> Float[Array, "B T A V"]:
    """y less the learned sink's share of the softmax; y itself without a sink."""
    if not self.sink:
      return y
    # one more member of the softmax: e^lse / (e^lse + e^logit) of the weight stays
    kept = jax.nn.sigmoid(lse - params[-1].astype(lse.dtype))
    return (y.astype(lse.dtype) * kept[..., None]).astype(y.dtype)


# Rotary positions and nothing else.
ROTARY = Scores()


def _with_keys(
  q: Float[Array, "B H N K"], k: Float[Array, "B S H K"]
) -> Float[Array, "B H N S"]:
  """The product of one query a row with every key, head by head.

  On a CPU a product by head would first copy the whole cache heads first. With few
  heads it is three times faster to put zeros between the queries' heads and to multiply
  them all with all: the time is that of reading the cache.
  """
  rows, heads, group, _ = q.shape

  def by_head(q, k):
    return jnp.einsum("bhnk,bshk->bhns", q, k)

  def all_with_all(q, k):
    eye = jnp.eye(heads, dtype=q.dtype)
    wide = jnp.einsum("bhnk,hg->bhngk", q, eye).reshape(rows, heads * group, -1)
    s = jnp.einsum("bac,bsc->bas", wide, k.reshape(*k.shape[:2], -1))  # [B, H N, S]
    return s.reshape(rows, heads, group, -1)

  return _few_heads(heads, all_with_all, by_head, q, k)


def _with_values(
  p: Float[Array, "B H N S"], v: Float[Array, "B S H V"]
) -> Float[Array, "B H N V"]:
  """The sum of the values by weight, head by head; see `_with_keys`."""
  rows, heads, group, _ = p.shape

  def by_head(p, v):
    return jnp.einsum("bhns,bshv->bhnv", p, v)

  def all_with_all(p, v):
    flat = v.reshape(*v.shape[:2], -1)  # [B, S, H V]
    wide = jnp.einsum("bas,bsc->bac", p.reshape(rows, heads * group, -1), flat)
    wide = wide.reshape(rows, heads, group, heads, -1)
    return jnp.einsum("bhnhv->bhnv", wide)  # the weights' heads with their own values

  return _few_heads(heads, all_with_all, by_head, p, v)


def _few_heads(
  heads: int, all_with_all: Callable, by_head: Callable, *args: Array
) -> Array:
  """One of two ways to the same product: `all_with_all` on a CPU with few heads."""
  if heads > 8:
    return by_head(*args)
  return jax.lax.platform_dependent(*args, cpu=all_with_all, default=by_head)


def grouped(q: Float[Array, "... A K"], key_heads: int) -> Float[Array, "... H N K"]:
  """The queries beside the key head they read."""
  return q.reshape(*q.shape[:-2], key_heads, -1, q.shape[-1])


def pair(
  query: Int[Array, " B"], key: Int[Array, "B S"], heads: int, key_heads: int
) -> Pair:
  """One query a row and its keys, as a block of queries and one of keys.

  Args:
    query: position in its document.
    key: positions in the same document.
    heads: A.
    key_heads: H.
  """
  head = scan.indices(heads).reshape(key_heads, -1, 1, 1)  # [H, N, 1, 1]
  query = query[:, None, None, None, None]  # [B, 1, 1, 1, 1]
  return Pair(query, key[:, None, None, None], query + 1, head)


def merge(
  y: Float[Array, "B T A V"],
  lse: Float[Array, "B T A"],
  other: Float[Array, "B T A V"],
  other_lse: Float[Array, "B T A"],
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """One softmax over two sets of keys, from those over each.

  Args:
    y: over the one set.
    lse: the log of its denominator; NOTHING where it shows nothing.
    other: over the other set.
    other_lse: the log of its denominator.
  """
  # finite where both are NOTHING: then y and other are 0, and so is the result
  total = jnp.logaddexp(lse, other_lse)

  def weighted(y, lse):
    return y.astype(lse.dtype) * jnp.exp(lse - total)[..., None]

  return (weighted(y, lse) + weighted(other, other_lse)).astype(y.dtype), total
