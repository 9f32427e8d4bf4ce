"""Writes text with a model: chunk forms read the prompt, then tokens follow singly."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem import tokenizers
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.generation import decode, programs
from jaxmem.generation.decode import Prefix
from jaxmem.generation.extend import extend
from jaxmem.generation.sampling import Cutter, Sampling, SamplingError
from jaxmem.generation.session import Session, keys_of, padded
from jaxmem.models import capacity
from jaxmem.models.lm import LM
from jaxmem.parallel import mesh
from jaxmem.runtime.compilation import compiling
from jaxmem.tokenizers import Decoder, Ids, Tokenizer, continuation, start_ids

# How many tokens a call of the program of single tokens reads or draws.
_STEPS = 16


class Chunk(NamedTuple):
  """A chunk of streamed text, which has just been written.

  Attributes:
    text: the new bytes of each row.
    done: which rows have ended.
    tokens: the new ids of each row, those of a stop string included.
    logprobs: log p of each of them under the model, whatever they were drawn from.
  """

  text: list[bytes]
  done: list[bool]
  tokens: Sequence[Any] = ()
  logprobs: Sequence[Any] = ()


Piece = Chunk  # the name before 0.2; it goes in 0.3


class Writer:
  """Reads and writes rows of text, each with a state of its own.

  A row gets the same tokens in any batch, since neither its chunks nor its random
  numbers depend on the other rows. Only the last bits of its logits do, by the matrix
  products: two tokens must be equally likely to within 1e-5 to change places. Batches
  are padded to few numbers of rows, so that few programs are compiled.

      writer = Writer(model, params, tokenizer, first_session(model, 2))
      writer.read([b"def main", b"import"], seed=0)
      for chunk in writer.write(Sampling(temperature=0.8), max_tokens=100):
        print(chunk.text)
      writer.read([b" and then", b""])  # continues all that was read and written
  """

  def __init__(self, model: LM, params: Any, tokenizer: Tokenizer, session: Session):
    """Makes a writer.

    Args:
      model: the language model.
      params: its parameters.
      tokenizer: text to ids and back.
      session: what the rows continue from, see `session.first_session`.
    """
    self._model, self._params, self._tokenizer = model, params, tokenizer
    self.session = session
    self._limit = capacity.limit_of(model.config)

  @property
  def session(self) -> Session:
    """What the rows continue from; donated to the next call of `read` or `write`."""
    if self._padded.length.shape[0] == self._rows:
      return self._padded
    return programs.resized(self._padded, rows=self._rows)

  @session.setter
  def session(self, session: Session) -> None:
    self._rows = session.length.shape[0]
    rows = padded(self._rows)
    is_full = rows == self._rows
    self._continue(session if is_full else programs.resized(session, rows=rows))

  @property
  def length(self) -> np.ndarray:
    """How many tokens each row has read and drawn, with what begins a document."""
    return np.asarray(self._padded.length)[: self._rows]

  def read(self, texts: Sequence[bytes | Ids], seed: int | None = None) -> None:
    """Reads a text a row; a row that has not begun first reads what begins a document.

    That is the EOS token, or what `tokenizers.start_id` says; ids that have it already
    do not get it twice.

    Args:
      texts: one a row, or its ids; an empty text adds nothing more to its row.
      seed: gives the rows the keys of `keys_of`; None keeps their present keys.

    Raises:
      ValueError: if there is not one text a row.
      CapacityError: if a text is longer than a memory holds; then nothing is read.
    """
    if len(texts) != self._rows:
      raise ValueError(f"{len(texts)} texts for {self._rows} rows")
    old = self._padded
    rows = old.length.shape[0]
    parts = map(self._inputs, texts, self.length.tolist())
    prefixes, ids = zip(*parts, strict=True)
    inputs = [np.r_[p, i].astype(np.int32) for p, i in zip(prefixes, ids, strict=True)]
    lengths = np.zeros(rows, np.int32)
    lengths[: self._rows] = [len(row) for row in inputs]
    self._check(lengths[: self._rows], "shorter texts")
    tokens = np.zeros((rows, lengths.max()), np.int32)  # [B, T]
    seen = np.array(old.seen)  # [B, V], without the EOS token
    for row, row_ids in enumerate(inputs):
      tokens[row, : len(row_ids)] = row_ids
      seen[row, ids[row]] = True
    key = old.key
    if seed is not None:  # the padding has no text, and its keys are never used
      key = keys_of(seed, [*map(bytes, texts), *[b""] * (rows - self._rows)])
    self._read_pieces(tokens, lengths // programs.PIECES[-1], seen, key)
    with compiling(f"the writing of text, {rows} at once"):
      self._read_singly(tokens, lengths)

  def _begins(self) -> list[bool]:
    """Returns which rows have no text yet, but perhaps what begins a document."""
    return (self.length <= len(start_ids(self._tokenizer))).tolist()

  def _inputs(self, text: bytes | Ids, length: int) -> tuple[list[int], Ids]:
    """Returns what a row reads before a text, and the ids of the text.

    Args:
      text: the text, or its ids.
      length: how many tokens the row has read.
    """
    start = start_ids(self._tokenizer)
    prefix = [] if length else start
    if isinstance(text, bytes):
      begins = length <= len(start)
      tokenizer = self._tokenizer if begins else continuation(self._tokenizer)
      return prefix, tokenizer.encode(text)
    has_prefix = bool(prefix) and text[:1].tolist() == prefix
    return prefix, text[1:] if has_prefix else text

  def _read_pieces(self, tokens, pieces, seen, key) -> None:
    """Reads the beginning of each row, `pieces` of the smallest size."""
    old, lengths = self._padded, pieces * programs.PIECES[-1]
    logits, state = old.logits, old.state
    if lengths.any():

      def read(tokens, state):
        size = tokens.shape[1]
        with compiling(f"the reading of {size:,} tokens, {tokens.shape[0]} at once"):
          return programs.read_piece(self._model, self._params, tokens, state)

      logits, state = extend(read, tokens, lengths, state, programs.PIECES)
    self._continue(programs.begin(old, lengths, logits, state, seen, key))

  def _read_singly(self, tokens, lengths) -> None:
    """Reads what is left of each row after the pieces."""
    at = lengths // programs.PIECES[-1] * programs.PIECES[-1]
    while (at < lengths).any():
      count = np.minimum(lengths - at, _STEPS)
      index = np.minimum(at[:, None] + np.arange(_STEPS), tokens.shape[1] - 1)
      prefix = Prefix(np.take_along_axis(tokens, index, axis=1), count)
      # the sampling has no effect, since nothing is drawn
      self._steps(Sampling(temperature=0.0), count, prefix)
      at += count

  def branch(self, rows: Sequence[int], keys: Any) -> None:
    """Continues with rows of the present ones, some of them several times.

    Args:
      rows: the present row that each new one continues from.
      keys: the key of each new row, see `session.keys_of`.
    """
    surplus = padded(len(rows)) - len(rows)
    index = np.pad(np.array(rows), (0, surplus))
    keys = np.pad(np.asarray(keys), ((0, surplus), (0, 0)))
    self._continue(programs.taken(self._padded, index, keys))
    self._rows = len(rows)

  def _continue(self, session: Session) -> None:
    """Makes a padded session the one that is continued."""
    self._padded = mesh.beside(session, self._params)

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
      UserError: if a row has read nothing, and the tokenizer puts nothing before a
        document that its first token could be drawn from.
    """
    sampling.check()
    if not start_ids(self._tokenizer) and not self.length.all():
      raise UserError(
        "nothing stands before a text of this model, so it has nothing to begin one "
        "from: give a prompt"
      )
    with raised_as(SamplingError):
      check_number(max_tokens, "max_tokens", Range(at_least=1))
    self._check(max_tokens, "fewer tokens")
    cutters = [Cutter(stop) for _ in range(self._rows)]
    remaining = np.full(self._rows, max_tokens)
    self._decoders = [Decoder(self._tokenizer, begins) for begins in self._begins()]
    return self._write(sampling, remaining, cutters, bool(stop), piece_size)

  def _check(self, added: int | np.ndarray, remedy: str) -> None:
    """Raises CapacityError if a memory cannot hold `added` tokens more."""
    if self._limit:
      longest = (self.length + added).max()
      self._limit.check(int(longest), "the text with what is to come", f"give {remedy}")

  def _write(
    self, sampling, remaining, cutters, may_stop, piece_size
  ) -> Iterator[Chunk]:
    """Yields chunks until no row has tokens `remaining`."""
    while remaining.any():
      limit = np.minimum(remaining, piece_size)
      # a copy, since the program of the steps donates the session
      before = programs.copied(self._padded) if may_stop else None
      tokens, logprobs = self._draw(sampling, limit, piece_size)
      texts, used = [], []
      for row, drawn in enumerate(tokens):
        text, count, stopped = self._feed(row, cutters[row], drawn)
        at_eos = len(drawn) < limit[row]
        continues = not stopped and not at_eos and remaining[row] > count
        if not continues and not stopped:
          text += cutters[row].rest()
        remaining[row] = remaining[row] - count if continues else 0
        texts.append(text)
        used.append(count)
      if used != [*map(len, tokens)]:
        # the same keys and positions draw the same tokens, now without the surplus
        self._padded = before
        tokens, logprobs = self._draw(sampling, np.array(used), piece_size)
      yield Chunk(texts, (remaining == 0).tolist(), tokens, logprobs)

  def _feed(self, row: int, cutter: Cutter, tokens) -> tuple[bytes, int, bool]:
    """Returns the text up to a stop, how many tokens that took, and if one came."""
    text = b""
    for i in range(len(tokens)):
      new, stopped = cutter.feed(self._decoders[row].feed(tokens[i : i + 1]))
      text += new
      if stopped:
        return text, i + 1, True
    return text, len(tokens), False

  def _draw(self, sampling, limit, piece_size) -> tuple[list, list]:
    """Draws up to `limit` tokens a row, fewer before an EOS token; also log p."""
    rows = self._padded.length.shape[0]
    prefix = Prefix(np.zeros((rows, piece_size), np.int32), np.zeros(rows, np.int32))
    limit = np.pad(limit, (0, rows - self._rows)).astype(np.int32)
    with compiling(f"the writing of text, {rows} at once"):
      drawn = jax.device_get(self._steps(sampling, limit, prefix))
    counts = drawn.count[: self._rows]
    return tuple(
      [row[:count] for row, count in zip(part, counts, strict=False)]  # no padding
      for part in (drawn.tokens, drawn.logprobs)
    )

  def _steps(self, sampling, limit, prefix) -> decode.Drawn:
    """Reads a prefix, or draws tokens; see `programs.steps`."""
    self._padded, drawn = programs.steps(
      self._model,
      self._params,
      self._padded,
      sampling.typed(),
      limit,
      prefix,
      vocab_size=self._tokenizer.vocab_size,
      end_ids=tokenizers.end_ids(self._tokenizer),
    )
    return drawn
