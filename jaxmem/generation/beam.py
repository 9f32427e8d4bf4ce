"""Texts of a model: the likeliest, found in the breadth of a beam, or drawn ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32

from jaxmem.core.typing import State
from jaxmem.generation.sampling import Sampling, draw

# Of what cannot be: finite, so that sums of it are.
NEVER = -1e9
Step = Callable[[Int[Array, " N"], State], tuple[Float[Array, "N V"], State]]


class Found(NamedTuple):
  """The texts of each row, the best first.

  Attributes:
    tokens: [B, K, L], the boundary behind each text, and from there on.
    length: tokens before the boundary.
    score: log p / penalty, see `penalty`; -1e9 where there is no text.
  """

  tokens: Int[Array, "B K L"]
  length: Int[Array, "B K"]
  score: Float[Array, "B K"]


class _Search(NamedTuple):
  """What goes from token to token: the texts that go on, and those that have ended."""

  at: Int[Array, ""]
  tokens: Int[Array, "B K L"]
  logp: Float[Array, "B K"]
  logits: Float[Array, "N V"]
  state: Any
  ended: Int[Array, "B K L"]
  score: Float[Array, "B K"]


def penalty(length: Any, alpha: float) -> Any:
  """((5 + n) / 6)^alpha of n tokens, the boundary at the end included.

  Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
  """
  return ((5.0 + length) / 6.0) ** alpha


def search(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  *,
  boundary: int,
  beams: int,
  length: int,
  alpha: float = 1.0,
) -> Found:
  """The texts with the highest log p / penalty that a beam of `beams` finds.

  A text that has ended leaves the beam, which stays as wide as before, so 2 K
  continuations are looked at for each token; one of the K best may end a text. The
  search ends when no text that goes on can become better than the worst of the K that
  have ended. A text that has no end after `length` tokens counts as it stands. Rows do
  not touch each other.

  Cost: `length` calls of `step` at most, on B K rows.

  Args:
    step: (token, state) -> logits of the next, and the state; state is rows first.
    logits: of the first token.
    state: behind what each row begins with.
    boundary: the id that ends a text.
    beams: K >= 1; 1 without penalty is greedy.
    length: L, tokens of a text at most.
    alpha: of the length penalty; 0 is none.

  Raises:
    ValueError: if there are fewer than two ids, or a number is out of range.
  """
  rows, vocab = logits.shape
  if beams < 1 or length < 1 or vocab < 2:
    raise ValueError(f"beams {beams}, length {length}, {vocab} ids: 1, 1, 2 at least")
  spread = lambda a: jnp.repeat(a, beams, axis=0)
  first = jnp.where(jnp.arange(beams) == 0, 0.0, NEVER)  # one text begins
  blank = jnp.full((rows, beams, length), boundary, jnp.int32)
  begin = _Search(
    at=jnp.zeros((), jnp.int32),
    tokens=blank,
    logp=jnp.broadcast_to(first, (rows, beams)),
    logits=spread(logits.astype(jnp.float32)),
    state=jax.tree.map(spread, state),
    ended=blank,
    score=jnp.full((rows, beams), NEVER),
  )

  def goes_on(s: _Search):
    longest = float(length) if alpha > 0 else _count(s.at)
    hope = s.logp.max(1) / penalty(longest, alpha)
    return (s.at < length) & (hope > s.score.min(1)).any()

  def advance(s: _Search) -> _Search:
    logp = jax.nn.log_softmax(s.logits).reshape(rows, beams, vocab)
    total = (s.logp[..., None] + logp).reshape(rows, beams * vocab)
    count = min(2 * beams, beams * vocab)
    best, place = jax.lax.top_k(total, count)
    source, token = place // vocab, (place % vocab).astype(jnp.int32)
    tokens = jnp.take_along_axis(s.tokens, source[..., None], axis=1)
    tokens = tokens.at[:, :, s.at].set(token)
    # one that ends must be among the K best, so that a beam of one is greedy
    over = token == boundary
    ends = over & (jnp.arange(count) < beams)
    score = jnp.where(ends, best / penalty(_count(s.at), alpha), NEVER)
    score = jnp.where(best > NEVER / 2, score, NEVER)
    ended, score = _best(
      jnp.concatenate([s.ended, tokens], 1), jnp.concatenate([s.score, score], 1), beams
    )
    logp, keep = jax.lax.top_k(jnp.where(over, 2 * NEVER, best), min(beams, count))
    take = lambda a: jnp.take_along_axis(
      a, keep.reshape(keep.shape + (1,) * (a.ndim - 2)), 1
    )
    source, token, tokens = take(source), take(token), take(tokens)
    from_row = (source + beams * jnp.arange(rows)[:, None]).reshape(-1)
    state = jax.tree.map(lambda a: a[from_row], s.state)
    logits, state = step(token.reshape(-1), state)
    return _Search(
      s.at + 1, tokens, logp, logits.astype(jnp.float32), state, ended, score
    )

  end = jax.lax.while_loop(goes_on, advance, begin)
  # what has not ended counts only where nothing can be added to it
  cut = jnp.where(end.at == length, end.logp / penalty(float(length), alpha), NEVER)
  cut = jnp.where(end.logp > NEVER / 2, cut, NEVER)
  tokens, score = _best(
    jnp.concatenate([end.ended, end.tokens], 1),
    jnp.concatenate([end.score, cut], 1),
    beams,
  )
  return Found(tokens, (tokens != boundary).sum(-1).astype(jnp.int32), score)


def sample(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  keys: UInt32[Array, "B words"],
  how: Sampling,
  *,
  boundary: int,
  length: int,
) -> Int[Array, "B L"]:
  """A text a row, drawn token by token; the boundary behind it, and from there on.

  Cost: `length` calls of `step` at most.

  Args:
    step: see `search`.
    logits: see `search`.
    state: see `search`.
    keys: see `sampling.draw`.
    how: see `Sampling`; temperature 0 is greedy.
    boundary: the id that ends a text.
    length: L, tokens of a text at most.
  """
  rows, vocab = logits.shape
  ids = jnp.arange(vocab)

  def advance(carry):
    at, logits, state, tokens, seen, over = carry
    place = jnp.full(rows, at, jnp.int32)
    token = draw(logits, seen, keys, place, how, vocab)
    token = jnp.where(over, boundary, token)
    seen, over = seen | (ids == token[:, None]), over | (token == boundary)
    logits, state = step(token, state)
    wide = logits.astype(jnp.float32)
    return at + 1, wide, state, tokens.at[:, at].set(token), seen, over

  begin = (
    jnp.zeros((), jnp.int32),
    logits.astype(jnp.float32),
    state,
    jnp.full((rows, length), boundary, jnp.int32),
    jnp.zeros((rows, vocab), bool),
    jnp.zeros(rows, bool),
  )
  goes_on = lambda carry: (carry[0] < length) & ~carry[-1].all()
  return jax.lax.while_loop(goes_on, advance, begin)[3]


def _count(at: Int[Array, ""]) -> Float[Array, ""]:
  """Tokens of a text that ends at a place."""
  return (at + 1).astype(jnp.float32)


def _best(
  tokens: Int[Array, "B M L"], score: Float[Array, "B M"], count: int
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  score, place = jax.lax.top_k(score, count)
  return jnp.take_along_axis(tokens, place[..., None], axis=1), score
