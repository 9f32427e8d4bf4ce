"""What decay leaves of a token inside a chunk: exp of sums of log decays.

Every sum runs over tokens of one document and every mask comes before its exp, so other
documents get gradients of exactly 0 and nothing overflows: all factors are <= 1.

Source: Yang et al. 2023, arXiv:2312.06635, section 4.3 (secondary chunking), here by
halves; Dao and Gu 2024, arXiv:2405.21060, section 6 (one decay a head).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import scan


class Decay(NamedTuple):
  """The log decays of a chunk, summed from where each document begins in it.

  They stay logs until two of them are subtracted: exp(read) alone underflows, and
  exp(-write) overflows, where exp(read - write) is an ordinary number.

  Attributes:
    read: [B, ..., C, E], the sum up to where a query reads; E is K, or 1 for one decay
      a head.
    write: the same up to a key's write, the decay of its token included.
    document: [B, ..., C], broadcastable; 0 is the document that the state belongs to.
    strict: whether a query sees only the tokens before its own.
  """

  read: Float[Array, "B *H C E"]
  write: Float[Array, "B *H C E"]
  document: Int[Array, "B *H C"]
  strict: bool


def within(g: Float[Array, "B *H C E"], reset: Reset | None) -> Decay:
  """Returns the decays of a chunk whose queries read after their own token's write.

  Args:
    g: log decay <= 0, in the state's dtype; E is K, or 1 for one a head.
    reset: [B, C], True on the first token of a document.
  """
  rows, size = g.shape[0], g.shape[-2]
  document = jnp.zeros((rows, size), jnp.int32)
  if reset is not None:
    document = scan.documents(reset)
  document = document.reshape(rows, *[1] * (g.ndim - 3), size)  # [B, 1, ..., C]
  # exp of less is 0 anyway, and larger sums would round what other tokens add to them
  g = jnp.maximum(g, math.log(jnp.finfo(g.dtype).tiny) - 1)
  # sums by document, not one cumulated sum: other documents get gradients of exactly 0
  mask = seen(document).astype(g.dtype)
  # one mask a head: shared, XLA on CPU would turn the sums round, element by element
  mask = jnp.broadcast_to(mask, (*g.shape[:-1], size))
  # HIGHEST: a TPU would round log decays to bfloat16, and their exp be 1 % off
  total = jnp.einsum("...ij,...je->...ie", mask, g, precision=jax.lax.Precision.HIGHEST)
  return Decay(total, total, document, strict=False)


def before(d: Decay) -> Decay:
  """Returns the decays for queries that read before their token's decay and write.

  Args:
    d: those of the chunk, from `within`.
  """
  # a query reads what the token before it left: its sum, or 0 where a document begins
  size, axis = d.write.shape[-2], d.write.ndim - 2
  zeros = jnp.zeros_like(d.write[..., :1, :])
  earlier = jax.lax.slice_in_dim(d.write, 0, size - 1, axis=axis)
  shifted = jnp.concatenate([zeros, earlier], axis=-2)  # [B, ..., C, E]
  first = jnp.ones_like(d.document[..., :1], bool)
  first = jnp.concatenate([first, d.document[..., 1:] != d.document[..., :-1]], axis=-1)
  return d._replace(read=jnp.where(first[..., None], 0, shifted), strict=True)


def from_start(d: Decay) -> Float[Array, "B *H C E"]:
  """Returns what is left of the chunk's first state where a query reads.

  It is 0 in documents that begin inside the chunk.

  Args:
    d: the decays of the chunk.
  """
  return _exp((d.document == 0)[..., None], d.read)


def to_end(d: Decay) -> Float[Array, "B *H C E"]:
  """Returns what is left of a token's write at the end; 0 if its document has ended.

  Args:
    d: the decays of the chunk.
  """
  mask = d.document == d.document[..., -1:]  # [B, ..., C]
  return _exp(mask[..., None], d.write[..., -1:, :] - d.write)


def whole(d: Decay) -> Float[Array, "B *H E 1"]:
  """Returns what is left of the chunk's first state at the end.

  Args:
    d: the decays of the chunk.
  """
  left = _exp((d.document[..., -1:] == 0)[..., None], d.write[..., -1:, :])
  return left.swapaxes(-1, -2)  # as factors of the rows of a state [.., K, V]


def between(d: Decay) -> Float[Array, "B *H C C"]:
  """Returns what is left of token j where query i reads, for one decay a head.

  It is 0 where query i does not see token j.

  Args:
    d: the decays of the chunk.
  """
  read, write = d.read, d.write.swapaxes(-1, -2)  # [.., C, 1], [.., 1, C]
  return _exp(seen(d.document, d.strict), read - write)


def seen(document: Int[Array, "*B C"], strict: bool = False) -> Bool[Array, "*B C C"]:
  """Returns whether token i sees token j: an earlier one of its document, or itself.

  Args:
    document: the number of each token's document.
    strict: whether a token does not see itself.
  """
  size = document.shape[-1]
  past = jnp.tril(jnp.ones((size, size), bool), -1 if strict else 0)
  return past & (document[..., :, None] == document[..., None, :])


def scores(
  d: Decay,
  q: Float[Array, "B *G C K"],
  k: Float[Array, "B *G C K"],
  product: Callable,
) -> Float[Array, "B *H C C"]:
  """Returns sum_k q_ik exp(read_ik - write_jk) k_jk where query i sees token j, else 0.

  Cost: C^2 K multiplies. With decays a channel, half of them: the square of side C/2
  below the diagonal is a matrix product anchored between its keys and its queries, so
  that both factors are <= 1, and its two neighbours are cut the same way down to single
  tokens. That takes C K log2 C exponentials; all differences would take C^2 K.

  Args:
    d: see `within`.
    q: queries; with one decay a head they may be fewer, broadcastable to it.
    k: keys.
    product: `(spec, a, b) -> einsum` in the state's dtype.
  """
  if d.write.shape[-1] == 1:  # one decay a head is a factor of the whole product
    left = between(d)
    return _repeated(product("...ik,...jk->...ij", q, k), left.shape) * left
  q, k = q.astype(d.read.dtype), k.astype(d.read.dtype)
  size, padded = q.shape[-2], 1
  while padded < size:
    padded *= 2

  def pad(a):
    return scan.pad_time(a, padded, a.ndim - 2)

  # what a token reads of itself has not decayed: the 1 x 1 blocks of the diagonal
  diagonal = pad(q * k).sum(-1)[..., None, None]  # [B, ..., C, 1, 1]
  # whatever a product is anchored at, what is left of j at i depends on its ends alone:
  # their derivatives go past all the exponentials
  read, write = jax.lax.stop_gradient(d.read), jax.lax.stop_gradient(d.write)
  q, k = q * _one(d.read), k * _one(-d.write)
  q, k, read, write = pad(q), pad(k), pad(read), pad(write)
  # padding is nobody's document: those of the chunk count from 1
  document = scan.pad_time(d.document + 1, padded, d.document.ndim - 1)
  # Squares of side 1, 2, 4, ... below the diagonal, until one block is the whole chunk:
  #
  #   d        each square is a product of the second half's queries with the first
  #   1 d      half's keys, anchored at the first half's last token a: j <= a < i, so
  #   2 2 d    that q_i exp(G_i - G_a) and k_j exp(G_a - G_j) both have factors <= 1
  #   2 2 1 d
  x, side = jnp.zeros_like(diagonal) if d.strict else diagonal, 1
  while side < padded:
    side *= 2
    square = _anchored(
      _blocks(q, side, -2),
      _blocks(k, side, -2),
      _blocks(read, side, -2),
      _blocks(write, side, -2),
      _blocks(document, side, -1),
      product,
    )
    x = _join(x, square)  # [B, ..., C / side, side, side]
  return x[..., 0, :size, :size]


def _exp(mask: Bool[Array, "..."], log: Float[Array, "..."]) -> Array:
  """exp where the mask is True, else 0; it is masked before, as the rest may be e^1000.

  Masked after, the gradient there would be inf * 0.
  """
  return jnp.exp(jnp.where(mask, log, -jnp.inf))


@jax.custom_jvp
def _one(log: Float[Array, "..."]) -> Array:
  """exp(log - c) for a constant c equal to `log`: 1, with the derivative of exp."""
  return jnp.ones_like(log)


@_one.defjvp
def _one_jvp(primals, tangents):
  (log,), (dlog,) = primals, tangents
  one = _one(log)
  return one, one * dlog


def _repeated(x: Array, shape: tuple[int, ...]) -> Array:
  """`x` in `shape`; copied, as XLA on CPU sums a broadcast's gradient slowly."""
  for axis, (size, target) in enumerate(zip(x.shape, shape, strict=True)):
    if size != target:
      x = jnp.concatenate([x] * target, axis)
  return x


def _blocks(a: Array, size: int, axis: int) -> Array:
  """The axis cut into blocks: [..., C, ...] -> [..., C / size, size, ...]."""
  axis %= a.ndim
  return a.reshape(*a.shape[:axis], -1, size, *a.shape[axis + 1 :])


def _anchored(q, k, read, write, document, product) -> Array:
  """The second half's queries times the first half's keys, of every block."""
  half = q.shape[-2] // 2
  anchor = write[..., half - 1 : half, :]  # the first half's last token
  same = (document == document[..., half - 1 : half])[..., None]
  # a pair of one document on both sides of the anchor has the anchor in it, too
  q = q[..., half:, :] * _exp(same[..., half:, :], read[..., half:, :] - anchor)
  k = k[..., :half, :] * _exp(same[..., :half, :], anchor - write[..., :half, :])
  return product("...ik,...jk->...ij", q, k)


def _join(x: Array, square: Array) -> Array:
  """[..., 2 N, C, C] and [..., N, C, C] -> [..., N, 2 C, 2 C], lower triangular."""
  p, r = x[..., 0::2, :, :], x[..., 1::2, :, :]
  above = jnp.concatenate([p, jnp.zeros_like(square)], axis=-1)
  below = jnp.concatenate([square, r], axis=-1)
  return jnp.concatenate([above, below], axis=-2)
