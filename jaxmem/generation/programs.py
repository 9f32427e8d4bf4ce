"""The programs that a writer compiles: few, whatever the lengths and however many rows.

One reads pieces of 64 tokens, and one pieces of 1024 in long texts. One reads and draws
single tokens: it reads what is left of a prompt, and writes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import State
from jaxmem.generation.decode import Prefix, continue_rows
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import Session
from jaxmem.models.lm import LM
from jaxmem.ops.recurrence import scan

# Tokens of the pieces that a text is read in; those left over are read singly.
PIECES = (1024, 64)
# What a row reads that has ended.
_IDLE = -1


@functools.partial(jax.jit, static_argnames="model")
def read_piece(model: LM, params: Any, tokens, state):
  """Returns the logits after the last token alone, [B, 1, V], and the memory."""

  def last_logits(model, tokens, state):
    x, state = model.features(tokens, state)  # [B, T, D]
    return model.head(x[:, -1:]), state

  return model.apply({"params": params}, tokens, state, method=last_logits)


@functools.partial(
  jax.jit,
  static_argnames=("model", "vocab_size", "end_ids"),
  donate_argnames="session",
)
def steps(
  model: LM,
  params: Any,
  session: Session,
  sampling: Sampling,
  limit: Int[Array, " B"],
  prefix: Prefix,
  *,
  vocab_size: int,
  end_ids: tuple[int, ...],
):
  """Reads the prefix of each row, and draws and reads tokens up to its limit.

  Args:
    model: the language model.
    params: its parameters.
    session: what the rows continue from.
    sampling: how tokens are drawn.
    limit: the most tokens of each row, with its prefix.
    prefix: what each row reads first; its width is the most tokens of a row.
    vocab_size: ids at or above it are never drawn.
    end_ids: the ids that end a text, the EOS token first.

  Returns:
    The session, and the texts; an EOS token that was drawn is not read.
  """
  eos_id, *others = end_ids

  def step(token, old):
    # a row that has ended keeps its state: it may continue later
    reads = token != _IDLE
    tokens = jnp.where(reads, token, eos_id)[:, None]
    logits, state = model.apply({"params": params}, tokens, old[1])
    new = scan.where_row(reads, (logits[:, 0], state), old)
    return new[0], new

  drawn, (logits, state) = continue_rows(
    step,
    session.logits,
    (session.logits, session.state),
    session.key,
    sampling,
    eos_id=eos_id,
    length=prefix.tokens.shape[1],
    vocab_size=vocab_size,
    limit=limit,
    seen=session.seen,
    position=session.length,
    prefix=prefix,
    idle_id=_IDLE,
    end_ids=others,
  )
  length = session.length + drawn.count
  return Session(state, logits, drawn.seen, session.key, length), drawn


@jax.jit
def begin(
  old: Session,
  lengths: Int[Array, " B"],
  logits: Float[Array, "B V"],
  state: State,
  seen,
  key,
) -> Session:
  """Returns the session after pieces were read, in buffers of its own.

  Args:
    old: the session before.
    lengths: how many tokens each row has read.
    logits: after them; a row that has read nothing keeps its old ones.
    state: after them.
    seen: of the session that is returned.
    key: of the session that is returned.
  """
  logits = scan.where_row(lengths > 0, logits, old.logits)
  new = Session(state, logits, seen, key, old.length + lengths)
  return jax.tree.map(jnp.copy, new)


@jax.jit
def copied(session: Session) -> Session:
  """Returns a session in other buffers, which may be donated."""
  return jax.tree.map(jnp.copy, session)


@functools.partial(jax.jit, static_argnames="rows")
def resized(session: Session, rows: int) -> Session:
  """Returns a session with rows cut off, or with empty rows after its own."""

  def resize(a):
    a = a[:rows]
    return jnp.pad(a, [(0, rows - a.shape[0])] + [(0, 0)] * (a.ndim - 1))

  return jax.tree.map(resize, session)


@jax.jit
def taken(session: Session, index: Int[Array, " N"], key) -> Session:
  """Returns a session of rows of another one, with keys of their own.

  Args:
    session: the session.
    index: the row that each new row continues from.
    key: see `Session`.
  """
  return jax.tree.map(lambda a: a[index], session)._replace(key=key)
