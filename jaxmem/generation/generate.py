"""Text from a model: the prompt by the chunk forms, then one token after the other."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxmem.core.errors import raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.generation.decode import continue_rows
from jaxmem.generation.extend import extend
from jaxmem.generation.sampling import Cutter, Sampling, SamplingError
from jaxmem.generation.session import Session, keys_of
from jaxmem.models import capacity
from jaxmem.models.lm import LM
from jaxmem.ops.recurrence import scan
from jaxmem.tokenizers import Ids, Tokenizer


class Chunk(NamedTuple):
  """A chunk of streamed text: what has just been written.

  Attributes:
    text: the new bytes of each row.
    done: which rows are at their end.
  """

  text: list[bytes]
  done: list[bool]


Piece = Chunk  # the name before 0.2; it goes in 0.3


class Writer:
  """Reads and writes rows of text, each with a memory of its own, at constant memory.

  A row gives the same tokens in any batch: neither its chunks nor its random numbers
  depend on the other rows. Its logits do, by the last bits of the matrix products, so
  two tokens would have to be equally likely to within 1e-5 to change places.

      writer = Writer(model, params, tokenizer, first_session(model, 2))
      writer.read([b"def main", b"import"], seed=0)
      for chunk in writer.write(Sampling(temperature=0.8), max_tokens=100):
        print(chunk.text)
      writer.read([b" and then", b""])  # continues from all that was read and written

  Attributes:
    session: what the rows continue from; donated to the next call of `write`.
  """

  def __init__(self, model: LM, params: Any, tokenizer: Tokenizer, session: Session):
    """Args: the model and its parameters, the tokenizer, and where to begin."""
    self.session = session
    self._model, self._params, self._tokenizer = model, params, tokenizer
    self._limit = capacity.limit_of(model.config)

  def read(self, texts: Sequence[bytes | Ids], seed: int | None = None) -> None:
    """Reads a text a row; a row that has not begun reads the EOS token first.

    Args:
      texts: one a row, or its ids; an empty one leaves its row as it is.
      seed: gives the rows the keys of `keys_of`; None leaves those they have.

    Raises:
      ValueError: if there is not one text a row.
      CapacityError: if a text is longer than a memory holds; nothing is read then.
    """
    old = self.session
    rows = old.length.shape[0]
    if len(texts) != rows:
      raise ValueError(f"{len(texts)} texts for {rows} rows")
    begun = np.asarray(old.length) > 0
    encode = self._tokenizer.encode
    ids = [encode(t) if isinstance(t, bytes) else t for t in texts]
    heads = [[] if b else [self._tokenizer.eos_id] for b in begun]
    whole = [np.r_[h, i].astype(np.int32) for h, i in zip(heads, ids, strict=True)]
    lengths = np.array([len(w) for w in whole])
    self._check(lengths, "shorter texts")
    tokens = np.zeros((rows, lengths.max()), np.int32)
    seen = np.array(old.seen)
    for row, w in enumerate(whole):
      tokens[row, : len(w)] = w
      seen[row, ids[row]] = True
    f = functools.partial(_read, self._model, self._params)
    logits, state = extend(f, tokens, lengths, old.state)
    logits = scan.where_row(jnp.asarray(lengths > 0), logits, old.logits)
    key = old.key if seed is None else keys_of(seed, [*map(bytes, texts)])
    length = old.length + jnp.asarray(lengths, jnp.int32)
    self.session = Session(state, logits, jnp.array(seen), key, length)

  def write(
    self,
    how: Sampling,
    max_tokens: int,
    stop: Sequence[bytes] = (),
    piece_size: int = 16,
  ) -> Iterator[Chunk]:
    """Draws tokens until each row has its number, a stop string, or the EOS token.

    The memory is then that of what was drawn, with a stop string and without the EOS
    token: the text can continue. Cost: `max_tokens` steps; the steps of a chunk that
    lie after a stop string are undone, by writing the chunk again up to there.

    Args:
      how: see `Sampling`.
      max_tokens: of a row, >= 1.
      stop: a row ends where one of these is complete, and is cut where it begins.
      piece_size: tokens that are drawn before text is given out.

    Yields:
      The new text, until all rows are done.

    Raises:
      SamplingError: if a number is out of range or a stop string empty.
      CapacityError: if a memory does not hold the text and so many tokens more.
    """
    how.check()
    with raised_as(SamplingError):
      check_number(max_tokens, "max_tokens", Range(at_least=1))
    self._check(max_tokens, "fewer tokens")
    rows = self.session.length.shape[0]
    cutters = [Cutter(stop) for _ in range(rows)]
    return self._write(how, np.full(rows, max_tokens), cutters, bool(stop), piece_size)

  def _check(self, more: int | np.ndarray, remedy: str) -> None:
    """Raises CapacityError if a row cannot continue by `more` tokens."""
    if self._limit:
      longest = (np.asarray(self.session.length) + more).max()
      self._limit.check(int(longest), "the text with what is to come", f"give {remedy}")

  def _write(self, how, left, cutters, may_stop, piece_size) -> Iterator[Chunk]:
    while left.any():
      limit = np.minimum(left, piece_size)
      before = jax.tree.map(jnp.copy, self.session) if may_stop else None
      drawn, at_eos = self._draw(how, limit, piece_size)
      texts, used = [], []
      for row, tokens in enumerate(drawn):
        text, count, stopped = self._feed(cutters[row], tokens)
        continues = not stopped and not at_eos[row] and left[row] > count
        if not continues and not stopped:
          text += cutters[row].rest()
        left[row] = left[row] - count if continues else 0
        texts.append(text)
        used.append(count)
      if used != [len(tokens) for tokens in drawn]:
        self.session = before
        self._draw(how, np.array(used), piece_size)
      yield Chunk(texts, (left == 0).tolist())

  def _feed(self, cutter: Cutter, tokens) -> tuple[bytes, int, bool]:
    """The text of tokens up to a stop, how many tokens that took, and if one came."""
    text = b""
    for i in range(len(tokens)):
      new, stopped = cutter.feed(self._tokenizer.decode(tokens[i : i + 1]))
      text += new
      if stopped:
        return text, i + 1, True
    return text, len(tokens), False

  def _draw(self, how, limit, piece_size):
    """Writes up to `limit` tokens a row; also says which rows met the EOS token."""
    self.session, tokens, counts, at_eos = _steps(
      self._model,
      self._params,
      self.session,
      how,
      limit.astype(np.int32),
      length=piece_size,
      vocab_size=self._tokenizer.vocab_size,
      eos_id=self._tokenizer.eos_id,
    )
    tokens, counts, at_eos = jax.device_get((tokens, counts, at_eos))
    rows = zip(tokens, counts, strict=True)
    return [row[:count] for row, count in rows], at_eos


@functools.partial(jax.jit, static_argnames="model")
def _read(model: LM, params: Any, tokens, state):
  """The logits after the last token alone, [B, 1, V], and the memory."""

  def last_logits(model, tokens, state):
    x, state = model.features(tokens, state)
    return model.head(x[:, -1:]), state

  return model.apply({"params": params}, tokens, state, method=last_logits)


@functools.partial(
  jax.jit,
  static_argnames=("model", "length", "vocab_size", "eos_id"),
  donate_argnames="session",
)
def _steps(
  model: LM,
  params: Any,
  session: Session,
  how: Sampling,
  limit: Int[Array, " B"],
  *,
  length: int,
  vocab_size: int,
  eos_id: int,
):
  """Draws and reads up to limit[b] <= length tokens in row b.

  Returns:
    The session; the tokens [B, length]; how many of them count; and who drew the
    EOS token, which is not read and does not count.
  """

  def step(token, old):
    # a row that has ended reads the EOS token and stays as it is: it may continue later
    logits, state = model.apply({"params": params}, token[:, None], old[1])
    new = scan.where_row(token != eos_id, (logits[:, 0], state), old)
    return new[0], new

  drawn, (logits, state) = continue_rows(
    step,
    session.logits,
    (session.logits, session.state),
    session.key,
    how,
    eos_id=eos_id,
    length=length,
    vocab_size=vocab_size,
    limit=limit,
    seen=session.seen,
    position=session.length,
  )
  read = session.length + drawn.count
  session = Session(state, logits, drawn.seen, session.key, read)
  return session, drawn.tokens, drawn.count, drawn.count < limit
