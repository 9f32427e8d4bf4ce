"""Writes text with a model: chunk forms read the prompt, then tokens follow singly."""

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
  """A chunk of streamed text, which has just been written.

  Attributes:
    text: the new bytes of each row.
    done: which rows have ended.
  """

  text: list[bytes]
  done: list[bool]


Piece = Chunk  # the name before 0.2; it goes in 0.3


class Writer:
  """Reads and writes rows of text, each with a state of its own.

  A row gets the same tokens in any batch, since neither its chunks nor its random
  numbers depend on the other rows. Only the last bits of its logits do, by the matrix
  products: two tokens must be equally likely to within 1e-5 to change places.

      writer = Writer(model, params, tokenizer, first_session(model, 2))
      writer.read([b"def main", b"import"], seed=0)
      for chunk in writer.write(Sampling(temperature=0.8), max_tokens=100):
        print(chunk.text)
      writer.read([b" and then", b""])  # continues all that was read and written

  Attributes:
    session: what the rows continue from; donated to the next call of `write`.
  """

  def __init__(self, model: LM, params: Any, tokenizer: Tokenizer, session: Session):
    """Makes a writer.

    Args:
      model: the language model.
      params: its parameters.
      tokenizer: text to ids and back.
      session: what the rows continue from, see `session.first_session`.
    """
    self.session = session
    self._model, self._params, self._tokenizer = model, params, tokenizer
    self._limit = capacity.limit_of(model.config)

  def read(self, texts: Sequence[bytes | Ids], seed: int | None = None) -> None:
    """Reads a text a row; a row that has not begun reads the EOS token first.

    Args:
      texts: one a row, or its ids; an empty text leaves its row unchanged.
      seed: gives the rows the keys of `keys_of`; None keeps their present keys.

    Raises:
      ValueError: if there is not one text a row.
      CapacityError: if a text is longer than a memory holds; then nothing is read.
    """
    old = self.session
    rows = old.length.shape[0]
    if len(texts) != rows:
      raise ValueError(f"{len(texts)} texts for {rows} rows")
    is_new = np.asarray(old.length) == 0  # [B]
    encode = self._tokenizer.encode
    ids = [encode(t) if isinstance(t, bytes) else t for t in texts]
    prefixes = [[self._tokenizer.eos_id] if new else [] for new in is_new]
    inputs = [np.r_[p, i].astype(np.int32) for p, i in zip(prefixes, ids, strict=True)]
    lengths = np.array([len(row) for row in inputs])
    self._check(lengths, "shorter texts")
    tokens = np.zeros((rows, lengths.max()), np.int32)  # [B, T]
    seen = np.array(old.seen)  # [B, V], without the EOS token
    for row, row_ids in enumerate(inputs):
      tokens[row, : len(row_ids)] = row_ids
      seen[row, ids[row]] = True
    read = functools.partial(_read, self._model, self._params)
    logits, state = extend(read, tokens, lengths, old.state)
    # a row that read nothing still has the logits after its last token
    logits = scan.where_row(jnp.asarray(lengths > 0), logits, old.logits)
    self.session = Session(
      state=state,
      logits=logits,
      seen=jnp.array(seen),
      key=old.key if seed is None else keys_of(seed, [*map(bytes, texts)]),
      length=old.length + jnp.asarray(lengths, jnp.int32),
    )

  def write(
    self,
    sampling: Sampling,
    max_tokens: int,
    stop: Sequence[bytes] = (),
    piece_size: int = 16,
  ) -> Iterator[Chunk]:
    """Draws tokens until each row has `max_tokens`, a stop string, or an EOS token.

    The state then contains what was drawn, with a stop string and without the EOS
    token, so the text can be continued.

    Cost: `max_tokens` steps. A chunk that contains a stop string is drawn again up to
    there, which takes back the steps after it.

    Args:
      sampling: how tokens are drawn.
      max_tokens: the most tokens of a row, >= 1.
      stop: a row ends where one of these strings is complete, and is cut where it
        begins.
      piece_size: how many tokens are drawn before their text is yielded.

    Yields:
      The new text, until all rows are done.

    Raises:
      SamplingError: if a number is out of range or a stop string empty.
      CapacityError: if a memory cannot hold the text and so many tokens more.
    """
    sampling.check()
    with raised_as(SamplingError):
      check_number(max_tokens, "max_tokens", Range(at_least=1))
    self._check(max_tokens, "fewer tokens")
    rows = self.session.length.shape[0]
    cutters = [Cutter(stop) for _ in range(rows)]
    remaining = np.full(rows, max_tokens)
    return self._write(sampling, remaining, cutters, bool(stop), piece_size)

  def _check(self, added: int | np.ndarray, remedy: str) -> None:
    """Raises CapacityError if a memory cannot hold `added` tokens more."""
    if self._limit:
      longest = (np.asarray(self.session.length) + added).max()
      self._limit.check(int(longest), "the text with what is to come", f"give {remedy}")

  def _write(
    self, sampling, remaining, cutters, may_stop, piece_size
  ) -> Iterator[Chunk]:
    """Yields chunks until no row has tokens `remaining`."""
    while remaining.any():
      limit = np.minimum(remaining, piece_size)
      # a copy, since `_steps` donates the session
      before = jax.tree.map(jnp.copy, self.session) if may_stop else None
      drawn, at_eos = self._draw(sampling, limit, piece_size)
      texts, used = [], []
      for row, tokens in enumerate(drawn):
        text, count, stopped = self._feed(cutters[row], tokens)
        continues = not stopped and not at_eos[row] and remaining[row] > count
        if not continues and not stopped:
          text += cutters[row].rest()
        remaining[row] = remaining[row] - count if continues else 0
        texts.append(text)
        used.append(count)
      if used != [len(tokens) for tokens in drawn]:
        # the same keys and positions draw the same tokens, now without the surplus
        self.session = before
        self._draw(sampling, np.array(used), piece_size)
      yield Chunk(texts, (remaining == 0).tolist())

  def _feed(self, cutter: Cutter, tokens) -> tuple[bytes, int, bool]:
    """Returns the text up to a stop, how many tokens that took, and if one came."""
    text = b""
    for i in range(len(tokens)):
      new, stopped = cutter.feed(self._tokenizer.decode(tokens[i : i + 1]))
      text += new
      if stopped:
        return text, i + 1, True
    return text, len(tokens), False

  def _draw(self, sampling, limit, piece_size):
    """Draws up to `limit` tokens a row; also returns which rows drew the EOS token."""
    self.session, tokens, counts, at_eos = _steps(
      self._model,
      self._params,
      self.session,
      sampling,
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
  """Returns the logits after the last token alone, [B, 1, V], and the memory."""

  def last_logits(model, tokens, state):
    x, state = model.features(tokens, state)  # [B, T, D]
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
  sampling: Sampling,
  limit: Int[Array, " B"],
  *,
  length: int,
  vocab_size: int,
  eos_id: int,
):
  """Draws and reads up to limit[b] <= length tokens in row b.

  Returns:
    The session; the tokens [B, length]; how many of them count; and which rows drew the
    eos_id, which is not read and does not count.
  """

  def step(token, old):
    # a row that has ended gets the EOS token and keeps its state: it may continue later
    logits, state = model.apply({"params": params}, token[:, None], old[1])
    new = scan.where_row(token != eos_id, (logits[:, 0], state), old)
    return new[0], new

  drawn, (logits, state) = continue_rows(
    step,
    session.logits,
    (session.logits, session.state),
    session.key,
    sampling,
    eos_id=eos_id,
    length=length,
    vocab_size=vocab_size,
    limit=limit,
    seen=session.seen,
    position=session.length,
  )
  length_read = session.length + drawn.count
  session = Session(state, logits, drawn.seen, session.key, length_read)
  return session, drawn.tokens, drawn.count, drawn.count < limit
