"""The decode loop: it chooses a token, reads it, and repeats until all rows have ended.

    while fewer than `length` tokens are chosen, and a row is active:
      token = choose(logits)
      logits, state = step(token, state)

A model provides the step. `continue_rows` and `sample` choose one token a row, by a
draw or greedily; `beam.search` chooses the likeliest texts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from jaxmem.core.typing import State
from jaxmem.generation.sampling import Sampling, draw

Step = Callable[[Int[Array, " N"], State], tuple[Float[Array, "N V"], State]]


class Decoding(NamedTuple):
  """The carry of the decode loop.

  Attributes:
    at: how many tokens have been chosen.
    active: which rows continue; the loop ends when none does.
    logits: the logits of the next token.
    state: the model's memory of what was read.
    texts: the tokens so far, and whatever else `choose` needs.
  """

  at: Int[Array, ""]
  active: Bool[Array, " B"]
  logits: Float[Array, "N V"]
  state: State
  texts: Any


Choose = Callable[[Decoding], tuple[Int[Array, " N"], Decoding]]


def decode(step: Step, choose: Choose, initial: Decoding, length: int) -> Decoding:
  """Chooses and reads tokens until no row is active, or `length` are chosen.

  Cost: `length` calls of `step` at most.

  Args:
    step: `(token, state) -> (logits, state)`; the logits are those of the next token,
      and the state has rows first.
    choose: `decoding -> (token, decoding)`; updates `texts` and `active` for the token
      that it chooses, and `state` where a text continues from another text.
    initial: the carry before the first token.
    length: L, the most tokens of a text.

  Returns:
    The carry after the last token.
  """

  def is_active(decoding: Decoding):
    return (decoding.at < length) & decoding.active.any()

  def advance(decoding: Decoding) -> Decoding:
    token, decoding = choose(decoding)
    logits, state = step(token, decoding.state)  # [N, V]
    # the carry of a while loop has one dtype, whatever the model computes in
    logits = logits.astype(jnp.float32)
    return decoding._replace(at=decoding.at + 1, logits=logits, state=state)

  return jax.lax.while_loop(is_active, advance, initial)


class Drawn(NamedTuple):
  """One text a row.

  Attributes:
    tokens: the ids of each text, its prefix first, padded with the EOS token.
    count: how many tokens stand before the EOS token, the prefix included.
    seen: the tokens that the repetition penalty applies to, without the EOS token.
    logprobs: log p of each token by the model's own softmax, whatever was drawn from; 0
      where there is none.
  """

  tokens: Int[Array, "B L"]
  count: Int[Array, " B"]
  seen: Bool[Array, "B V"]
  logprobs: Float[Array, "B L"]


class Prefix(NamedTuple):
  """What each row reads before its first token is drawn.

  Attributes:
    tokens: the ids; those behind `count` have no meaning.
    count: how many of them are read, 0 .. L.
  """

  tokens: Int[Array, "B L"]
  count: Int[Array, " B"]


def continue_rows(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  keys: UInt32[Array, "B words"],
  sampling: Sampling,
  *,
  eos_id: int,
  length: int,
  vocab_size: int,
  limit: Int[Array, " B"],
  seen: Bool[Array, "B V"],
  position: Int[Array, " B"],
  prefix: Prefix | None = None,
  idle_id: int | None = None,
  end_ids: Sequence[int] = (),
) -> tuple[Drawn, State]:
  """Continues each row from what it has read, token by token.

  A row ends at its limit or where the EOS token is drawn, or another that ends a text.
  From there on it reads the idle_id until the other rows have ended; rows do not
  influence each other.

  Args:
    step: see `decode`.
    logits: the logits of the first token.
    state: the model's state after what each row begins with.
    keys: see `sampling.draw`.
    sampling: how tokens are drawn; temperature 0 is greedy.
    eos_id: the id that ends a text.
    length: L, the most tokens of a text, with its prefix.
    vocab_size: ids at or above it are never drawn.
    limit: the most tokens of each row, with its prefix, 0 .. L.
    seen: the tokens that the repetition penalty applies to.
    position: the position of each row's first token, for its random numbers.
    prefix: what is read before a token is drawn, the EOS token like any other; None is
      nothing.
    idle_id: what a row reads that has ended; None is the eos_id.
    end_ids: more ids that end a text, as those of a model of chats; the text has the
      EOS token in their place.

  Returns:
    The texts, and the state after what was read.
  """
  rows, ids = logits.shape[0], jnp.arange(logits.shape[1])
  idle = eos_id if idle_id is None else idle_id

  def choose(decoding: Decoding) -> tuple[Int[Array, " B"], Decoding]:
    (tokens, count, seen, logprobs), at = decoding.texts, decoding.at
    token = draw(decoding.logits, seen, keys, position + at, sampling, vocab_size)
    in_prefix = jnp.zeros(rows, bool)
    if prefix is not None:
      in_prefix = at < prefix.count
      token = jnp.where(in_prefix, prefix.tokens[:, at], token)
    # a row that has ended writes nothing more, whatever is drawn for it
    goes_on = token != eos_id  # [B]
    for end_id in set(end_ids) - {eos_id}:
      goes_on &= token != end_id
    written = decoding.active & (in_prefix | goes_on)  # [B]
    token = jnp.where(written, token, eos_id)
    logp = jax.nn.log_softmax(decoding.logits)[jnp.arange(rows), token]  # [B]
    drawn = written & ~in_prefix
    count += written.astype(jnp.int32)
    texts = Drawn(
      tokens=tokens.at[:, at].set(token),
      count=count,
      seen=seen | (drawn[:, None] & (ids == token[:, None])),  # [B, V]
      logprobs=logprobs.at[:, at].set(jnp.where(written, logp, 0.0)),
    )
    decoding = decoding._replace(active=written & (count < limit), texts=texts)
    return jnp.where(written, token, idle), decoding

  blank = jnp.full((rows, length), eos_id, jnp.int32)
  zeros = jnp.zeros((rows, length), jnp.float32)
  initial = Decoding(
    at=jnp.zeros((), jnp.int32),
    active=limit > 0,
    logits=logits.astype(jnp.float32),
    state=state,
    texts=Drawn(blank, jnp.zeros(rows, jnp.int32), seen, zeros),
  )
  final = decode(step, choose, initial, length)
  return final.texts, final.state


def sample(
  step: Step,
  logits: Float[Array, "B V"],
  state: State,
  keys: UInt32[Array, "B words"],
  sampling: Sampling,
  *,
  eos_id: int,
  length: int,
  vocab_size: int | None = None,
) -> Int[Array, "B L"]:
  """Draws a new text a row, token by token, padded with the EOS token.

  Cost: `length` calls of `step` at most.

  Args:
    step: see `decode`.
    logits: the logits of the first token.
    state: the model's state after what each row begins with.
    keys: see `sampling.draw`.
    sampling: how tokens are drawn; temperature 0 is greedy.
    eos_id: the id that ends a text.
    length: L, the most tokens of a text.
    vocab_size: ids at or above it are never drawn; None draws all.
  """
  rows, vocab = logits.shape  # [B, V]
  drawn, _ = continue_rows(
    step,
    logits,
    state,
    keys,
    sampling,
    eos_id=eos_id,
    length=length,
    vocab_size=vocab_size or vocab,
    limit=jnp.full(rows, length, jnp.int32),
    seen=jnp.zeros((rows, vocab), bool),
    position=jnp.zeros(rows, jnp.int32),
  )
  return drawn.tokens
