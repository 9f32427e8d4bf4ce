"""The loop that writes tokens: choose the next one, read it, until nothing continues.

    while length is left and something continues:
      token = choose(logits)
      logits, state = step(token, state)

A model gives the step. `continue_rows` and `sample` choose one token a row, drawn or
the likeliest; `beam.search` chooses the likeliest texts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from jaxmem.core.typing import State
from jaxmem.generation.sampling import Sampling, draw

Step = Callable[[Int[Array, " N"], State], tuple[Float[Array, "N V"], State]]


class Decoding(NamedTuple):
  """What goes from token to token.

  Attributes:
    at: how many tokens have been chosen.
    active: where more is to be written, by row; the loop ends when nowhere.
    logits: of the next token.
    state: the model's memory of what was read.
    texts: what the choice keeps: the tokens, and what it goes by.
  """

  at: Int[Array, ""]
  active: Bool[Array, " B"]
  logits: Float[Array, "N V"]
  state: State
  texts: Any


Choose = Callable[[Decoding], tuple[Int[Array, " N"], Decoding]]


def decode(step: Step, choose: Choose, begin: Decoding, length: int) -> Decoding:
  """Chooses and reads tokens until no row is active, or `length` are chosen.

  Cost: `length` calls of `step` at most.

  Args:
    step: (token, state) -> logits of the next, and the state; state is rows first.
    choose: the next token of each text, and the decoding with `texts` and `active`
      brought up to it; a choice that continues from another text puts its state there.
    begin: before the first token.
    length: L, tokens of a text at most.
  """

  def goes_on(now: Decoding):
    return (now.at < length) & now.active.any()

  def advance(now: Decoding) -> Decoding:
    token, now = choose(now)
    logits, state = step(token, now.state)
    logits = logits.astype(jnp.float32)
    return now._replace(at=now.at + 1, logits=logits, state=state)

  return jax.lax.while_loop(goes_on, advance, begin)


class Drawn(NamedTuple):
  """One text a row.

  Attributes:
    tokens: the EOS token behind each text, and from there on.
    count: tokens before the EOS token.
    seen: tokens that the repetition penalty is for, without the EOS token.
  """

  tokens: Int[Array, "B L"]
  count: Int[Array, " B"]
  seen: Bool[Array, "B V"]


def continue_rows(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  keys: UInt32[Array, "B words"],
  how: Sampling,
  *,
  eos_id: int,
  length: int,
  vocab_size: int,
  limit: Int[Array, " B"],
  seen: Bool[Array, "B V"],
  position: Int[Array, " B"],
) -> tuple[Drawn, State]:
  """Each row continues from what it has read, token by token.

  A row ends at its limit or where the EOS token is chosen. From there on it reads the
  EOS token until the others have ended; rows do not touch each other.

  Args:
    step: see `decode`.
    logits: of the first token.
    state: behind what each row begins with.
    keys: see `sampling.draw`.
    how: see `Sampling`; temperature 0 is greedy.
    eos_id: the id that ends a text.
    length: L, tokens of a text at most.
    vocab_size: ids at or above it are never drawn.
    limit: tokens of each row at most, 0 .. L.
    seen: tokens that the repetition penalty is for.
    position: of each row's first token, for its random numbers.

  Returns:
    The texts, and the state behind what was read.
  """
  rows, ids = logits.shape[0], jnp.arange(logits.shape[1])

  def choose(now: Decoding) -> tuple[Int[Array, " B"], Decoding]:
    tokens, count, seen = now.texts
    token = draw(now.logits, seen, keys, position + now.at, how, vocab_size)
    written = now.active & (token != eos_id)
    token = jnp.where(written, token, eos_id)
    tokens = tokens.at[:, now.at].set(token)
    count += written.astype(jnp.int32)
    seen |= written[:, None] & (ids == token[:, None])
    active = written & (count < limit)
    return token, now._replace(active=active, texts=Drawn(tokens, count, seen))

  blank = jnp.full((rows, length), eos_id, jnp.int32)
  begin = Decoding(
    at=jnp.zeros((), jnp.int32),
    active=limit > 0,
    logits=logits.astype(jnp.float32),
    state=state,
    texts=Drawn(blank, jnp.zeros(rows, jnp.int32), seen),
  )
  end = decode(step, choose, begin, length)
  return end.texts, end.state


def sample(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  keys: UInt32[Array, "B words"],
  how: Sampling,
  *,
  eos_id: int,
  length: int,
  vocab_size: int | None = None,
) -> Int[Array, "B L"]:
  """A new text a row, drawn token by token; the EOS token behind it, and from there on.

  Cost: `length` calls of `step` at most.

  Args:
    step: see `decode`.
    logits: of the first token.
    state: behind what each row begins with.
    keys: see `sampling.draw`.
    how: see `Sampling`; temperature 0 is greedy.
    eos_id: the id that ends a text.
    length: L, tokens of a text at most.
    vocab_size: ids at or above it are never drawn; None draws all.
  """
  rows, vocab = logits.shape
  drawn, _ = continue_rows(
    step,
    logits,
    state,
    keys,
    how,
    eos_id=eos_id,
    length=length,
    vocab_size=vocab_size or vocab,
    limit=jnp.full(rows, length, jnp.int32),
    seen=jnp.zeros((rows, vocab), bool),
    position=jnp.zeros(rows, jnp.int32),
  )
  return drawn.tokens
