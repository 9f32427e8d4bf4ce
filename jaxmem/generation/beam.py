"""The likeliest texts of a model, found in the breadth of a beam."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxmem.core.typing import State
from jaxmem.generation.decode import Decoding, Step, decode
from jaxmem.generation.decode import sample as sample  # by its older name

# Of what cannot be: finite, so that sums of it are.
NEVER = -1e9


class Found(NamedTuple):
  """The texts of each row, the best first.

  Attributes:
    tokens: [B, K, L], the EOS token behind each text, and from there on.
    length: tokens before the EOS token.
    score: log p / penalty, see `penalty`; -1e9 where there is no text.
  """

  tokens: Int[Array, "B K L"]
  length: Int[Array, "B K"]
  score: Float[Array, "B K"]


class _Beam(NamedTuple):
  """The texts of each row: those that continue, and the best that have ended."""

  tokens: Int[Array, "B K L"]
  logp: Float[Array, "B K"]
  ended: Int[Array, "B K L"]
  score: Float[Array, "B K"]


class _Candidates(NamedTuple):
  """The likeliest continuations of all texts of a row by one token, the best first."""

  source: Int[Array, "B M"]
  token: Int[Array, "B M"]
  tokens: Int[Array, "B M L"]
  logp: Float[Array, "B M"]


def penalty(length: Any, alpha: float) -> Any:
  """((5 + n) / 6)^alpha of n tokens, the EOS token at the end included.

  Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
  """
  return ((5.0 + length) / 6.0) ** alpha


def search(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  *,
  eos_id: int,
  beams: int,
  length: int,
  alpha: float = 1.0,
) -> Found:
  """The texts with the highest log p / penalty that a beam of `beams` finds.

  A text that has ended leaves the beam, which stays as wide as before, so 2 K
  continuations are looked at for each token; one of the K best may end a text. The
  search ends when no text that continues can become better than the worst of the K that
  have ended. A text that has no end after `length` tokens counts as it stands. Rows do
  not touch each other.

  Cost: `length` calls of `step` at most, on B K rows.

  Args:
    step: see `decode.decode`.
    logits: of the first token.
    state: behind what each row begins with.
    eos_id: the id that ends a text.
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
  blank = jnp.full((rows, beams, length), eos_id, jnp.int32)
  nothing = jnp.full((rows, beams), NEVER)
  begin = Decoding(
    at=jnp.zeros((), jnp.int32),
    active=jnp.ones(rows, bool),
    logits=spread(logits.astype(jnp.float32)),
    state=jax.tree.map(spread, state),
    texts=_Beam(blank, jnp.broadcast_to(first, (rows, beams)), blank, nothing),
  )

  def choose(now: Decoding) -> tuple[Int[Array, " N"], Decoding]:
    beam, candidates = now.texts, _candidates(now)
    count = _count(now.at)
    ended, score = _end(beam, candidates, penalty(count, alpha), eos_id)
    source, token, tokens, logp = _continue(candidates, beams, eos_id)
    # the best that a text can still become, against the worst of those that ended
    longest = float(length) if alpha > 0 else count + 1
    active = logp.max(1) / penalty(longest, alpha) > score.min(1)
    from_row = (source + beams * jnp.arange(rows)[:, None]).reshape(-1)
    state = jax.tree.map(lambda a: a[from_row], now.state)
    texts = _Beam(tokens, logp, ended, score)
    return token.reshape(-1), now._replace(active=active, state=state, texts=texts)

  end = decode(step, choose, begin, length)
  tokens, score = _result(end, penalty(float(length), alpha))
  return Found(tokens, (tokens != eos_id).sum(-1).astype(jnp.int32), score)


def _candidates(now: Decoding) -> _Candidates:
  """Two for each place of the beam: should K of them end, K are left to continue."""
  rows, beams, _ = now.texts.tokens.shape
  vocab = now.logits.shape[-1]
  logp = jax.nn.log_softmax(now.logits).reshape(rows, beams, vocab)
  total = (now.texts.logp[..., None] + logp).reshape(rows, beams * vocab)
  best, place = jax.lax.top_k(total, min(2 * beams, beams * vocab))
  source, token = place // vocab, (place % vocab).astype(jnp.int32)
  tokens = _take(now.texts.tokens, source).at[:, :, now.at].set(token)
  return _Candidates(source, token, tokens, best)


def _end(
  beam: _Beam, new: _Candidates, penalty: Float[Array, ""], eos_id: int
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """The best texts that have ended, with those that now do, and their scores."""
  beams = beam.score.shape[1]
  # one that ends must be among the K best, so that a beam of one is greedy
  ends = (new.token == eos_id) & (jnp.arange(new.token.shape[1]) < beams)
  score = jnp.where(ends & (new.logp > NEVER / 2), new.logp / penalty, NEVER)
  return _best(beam.ended, new.tokens, beam.score, score)


def _continue(new: _Candidates, beams: int, eos_id: int) -> _Candidates:
  """The K likeliest continuations that do not end."""
  logp = jnp.where(new.token == eos_id, 2 * NEVER, new.logp)
  logp, keep = jax.lax.top_k(logp, min(beams, logp.shape[1]))
  take = lambda a: _take(a, keep)
  return _Candidates(take(new.source), take(new.token), take(new.tokens), logp)


def _result(
  end: Decoding, penalty: float
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """The texts that have ended and, where nothing can be added to them, the others."""
  beam = end.texts
  whole = (end.at == beam.tokens.shape[2]) & (beam.logp > NEVER / 2)
  score = jnp.where(whole, beam.logp / penalty, NEVER)
  return _best(beam.ended, beam.tokens, beam.score, score)


def _count(at: Int[Array, ""]) -> Float[Array, ""]:
  """Tokens of a text that ends at a place."""
  return (at + 1).astype(jnp.float32)


def _best(
  old: Int[Array, "B K L"],
  new: Int[Array, "B M L"],
  old_score: Float[Array, "B K"],
  new_score: Float[Array, "B M"],
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """The K with the highest scores of both; of equal ones the old."""
  score = jnp.concatenate([old_score, new_score], 1)
  score, place = jax.lax.top_k(score, old.shape[1])
  return _take(jnp.concatenate([old, new], 1), place), score


def _take(a: Shaped[Array, "B M ..."], place: Int[Array, "B K"]) -> Array:
  """Of each row those at some places."""
  return jnp.take_along_axis(a, place.reshape(place.shape + (1,) * (a.ndim - 2)), 1)
