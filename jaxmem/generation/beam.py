"""Beam search for the likeliest texts of a model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxmem.core.typing import State
from jaxmem.generation.decode import Decoding, Step, decode
from jaxmem.generation.decode import sample as sample  # by its older name

# The log p of impossible texts; finite, so that sums and differences stay finite.
NEVER = -1e9


class Found(NamedTuple):
  """The texts that a search found in each row, the best first.

  Attributes:
    tokens: the ids of each text, padded with the EOS token.
    length: how many tokens stand before the EOS token.
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
  """The likeliest continuations by one token of a row's texts, the best first."""

  source: Int[Array, "B M"]
  token: Int[Array, "B M"]
  tokens: Int[Array, "B M L"]
  logp: Float[Array, "B M"]


def penalty(length: Any, alpha: float) -> Any:
  """Computes the length penalty ((5 + n) / 6)^alpha of n tokens, EOS included.

  Args:
    length: n.
    alpha: the exponent; 0 is no penalty.

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
  """Searches for the texts with the highest log p / penalty.

  A text that has ended leaves the beam, and the beam stays as wide as before: 2 K
  continuations are considered for each token, of which one of the K best may end a
  text. The search ends when no text that continues can become better than the worst of
  the K that have ended. A text without an end after `length` tokens counts as it is.
  Rows do not influence each other.

  Cost: `length` calls of `step` at most, on B K rows.

  Args:
    step: see `decode.decode`.
    logits: the logits of the first token.
    state: the model's state after what each row begins with.
    eos_id: the id that ends a text.
    beams: K >= 1; 1 without a penalty is greedy.
    length: L, the most tokens of a text.
    alpha: the exponent of the length penalty; 0 is none.

  Raises:
    ValueError: if there are fewer than two ids, or a number is out of range.
  """
  rows, vocab = logits.shape
  if beams < 1 or length < 1 or vocab < 2:
    raise ValueError(
      f"beams is {beams}, length is {length} and there are {vocab} ids: at least 1, 1 "
      "and 2 are needed"
    )

  def repeat(a):
    return jnp.repeat(a, beams, axis=0)  # [B, ...] -> [B K, ...]

  # all K texts of a row are equal at first, so only one of them may continue
  logp = jnp.where(jnp.arange(beams) == 0, 0.0, NEVER)
  blank = jnp.full((rows, beams, length), eos_id, jnp.int32)
  initial = Decoding(
    at=jnp.zeros((), jnp.int32),
    active=jnp.ones(rows, bool),
    logits=repeat(logits.astype(jnp.float32)),
    state=jax.tree.map(repeat, state),
    texts=_Beam(
      tokens=blank,
      logp=jnp.broadcast_to(logp, (rows, beams)),
      ended=blank,
      score=jnp.full((rows, beams), NEVER),
    ),
  )

  def choose(decoding: Decoding) -> tuple[Int[Array, " N"], Decoding]:
    beam, candidates = decoding.texts, _candidates(decoding)
    count = _count(decoding.at)
    ended, score = _end(beam, candidates, penalty(count, alpha), eos_id)
    source, token, tokens, logp = _continue(candidates, beams, eos_id)
    # the best that a text can still become, against the worst of those that ended
    longest = float(length) if alpha > 0 else count + 1
    active = logp.max(1) / penalty(longest, alpha) > score.min(1)  # [B]
    # a text continues from the state of the text that it extends
    from_row = (source + beams * jnp.arange(rows)[:, None]).reshape(-1)  # [B K]
    state = jax.tree.map(lambda a: a[from_row], decoding.state)
    texts = _Beam(tokens, logp, ended, score)
    decoding = decoding._replace(active=active, state=state, texts=texts)
    return token.reshape(-1), decoding

  final = decode(step, choose, initial, length)
  tokens, score = _result(final, penalty(float(length), alpha))
  return Found(tokens, (tokens != eos_id).sum(-1).astype(jnp.int32), score)


def _candidates(decoding: Decoding) -> _Candidates:
  """Selects 2 K candidates: should K of them end, K remain that continue."""
  rows, beams, _ = decoding.texts.tokens.shape
  vocab = decoding.logits.shape[-1]
  logp = jax.nn.log_softmax(decoding.logits).reshape(rows, beams, vocab)  # [B, K, V]
  total = (decoding.texts.logp[..., None] + logp).reshape(rows, beams * vocab)
  best, index = jax.lax.top_k(total, min(2 * beams, beams * vocab))  # [B, M]
  source, token = index // vocab, (index % vocab).astype(jnp.int32)
  tokens = _take(decoding.texts.tokens, source).at[:, :, decoding.at].set(token)
  return _Candidates(source, token, tokens, best)


def _end(
  beam: _Beam, new: _Candidates, penalty: Float[Array, ""], eos_id: int
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """Returns the best texts that have ended, those that end now among them."""
  beams = beam.score.shape[1]
  # one that ends must be among the K best, so that a beam of one is greedy
  ends = (new.token == eos_id) & (jnp.arange(new.token.shape[1]) < beams)
  score = jnp.where(ends & (new.logp > NEVER / 2), new.logp / penalty, NEVER)
  return _best(beam.ended, new.tokens, beam.score, score)


def _continue(new: _Candidates, beams: int, eos_id: int) -> _Candidates:
  """Returns the K likeliest candidates that do not end."""
  # below NEVER, so that one which ends is chosen after all impossible texts
  logp = jnp.where(new.token == eos_id, 2 * NEVER, new.logp)
  logp, index = jax.lax.top_k(logp, min(beams, logp.shape[1]))  # [B, K]
  return _Candidates(
    source=_take(new.source, index),
    token=_take(new.token, index),
    tokens=_take(new.tokens, index),
    logp=logp,
  )


def _result(
  final: Decoding, penalty: float
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """Returns the texts that have ended and, at the full length, those that have not."""
  beam = final.texts
  full = (final.at == beam.tokens.shape[2]) & (beam.logp > NEVER / 2)
  score = jnp.where(full, beam.logp / penalty, NEVER)
  return _best(beam.ended, beam.tokens, beam.score, score)


def _count(at: Int[Array, ""]) -> Float[Array, ""]:
  """Counts the tokens of a text whose last token has index `at`."""
  return (at + 1).astype(jnp.float32)


def _best(
  old: Int[Array, "B K L"],
  new: Int[Array, "B M L"],
  old_score: Float[Array, "B K"],
  new_score: Float[Array, "B M"],
) -> tuple[Int[Array, "B K L"], Float[Array, "B K"]]:
  """Returns the K texts with the highest scores of both; ties go to the old."""
  score = jnp.concatenate([old_score, new_score], 1)  # [B, K + M]
  score, index = jax.lax.top_k(score, old.shape[1])  # [B, K]
  return _take(jnp.concatenate([old, new], 1), index), score


def _take(a: Shaped[Array, "B M ..."], index: Int[Array, "B K"]) -> Array:
  """Takes the entries of each row at `index`: [B, K, ...]."""
  return jnp.take_along_axis(a, index.reshape(index.shape + (1,) * (a.ndim - 2)), 1)
