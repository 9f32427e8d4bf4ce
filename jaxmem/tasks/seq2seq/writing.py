"""Texts that an encoder-decoder writes from texts, by beam search or sampling."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.data import texts
from jaxmem.data.epochs import once
from jaxmem.generation import beam, decode
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import keys_of
from jaxmem.models.encoder_decoder import EncoderDecoder
from jaxmem.tasks.seq2seq import data
from jaxmem.tokenizers import Tokenizer

# Texts that are written at once: one shape, compiled once.
ROWS = 16


class Written(NamedTuple):
  """A text and its score.

  Attributes:
    text: the text.
    score: log p over the length penalty.
  """

  text: str
  score: float


class PairWriter:
  """Writes a text for each source text."""

  def __init__(
    self,
    model: EncoderDecoder,
    params: Any,
    tokenizer: Tokenizer,
    length: int,
    beams: int,
    alpha: float,
  ):
    """Compiles nothing yet; programs are compiled for each length of rows.

    Args:
      model: the encoder-decoder.
      params: its parameters.
      tokenizer: its tokenizer.
      length: T, most tokens of a text.
      beams: see `beam.search`.
      alpha: see `beam.search`.
    """
    self._params, self._tokenizer, self._length = params, tokenizer, length
    # the vocabulary is padded to a multiple of 64: padding must never be written
    is_token = jnp.arange(model.config.vocab_size) < tokenizer.vocab_size  # [V]

    def logits_of(params, *args, method):
      """Applies a method of the model; returns masked logits and the state."""
      logits, state = model.apply({"params": params}, *args, method=method)
      return jnp.where(is_token, logits, beam.NEVER), state

    # the EOS token takes one position of the row
    options = dict(eos_id=tokenizer.eos_id, length=length - 1)

    @jax.jit
    def search(params, read, size, first):
      """Returns the best beams of ids [B, T], lengths [B] and first tokens [B]."""
      step = functools.partial(logits_of, params, method="step")
      logits, state = logits_of(params, read, size, first, method="start")
      return beam.search(step, logits, state, beams=beams, alpha=alpha, **options)

    @jax.jit
    def sample(params, read, size, first, keys, how):
      """Returns a sampled text a row, [B, T - 1]; see `search`."""
      step = functools.partial(logits_of, params, method="step")
      logits, state = logits_of(params, read, size, first, method="start")
      return decode.sample(step, logits, state, keys, how, **options)

    self._search, self._sample = search, sample

  def check(self, text: str) -> None:
    """Raises UserError if a text cannot be read, or is longer than a row."""
    count = len(texts.encode(text, self._tokenizer, "the text"))
    if count > self._length:
      raise UserError(
        f"the text has {count} tokens, the run reads {self._length}: cut it, or train "
        "with a larger task.segment_length"
      )

  def write(self, sources: Sequence[str]) -> list[Written]:
    """Returns the best text of a beam search for each source.

    Args:
      sources: the texts to read; longer ones are truncated to a row.
    """
    written: dict[int, Written] = {}
    for indices, read, size, first in self._rows(sources):
      beams = self._search(self._params, read, size, first)
      # the first beam is the best: [B, T - 1], [B], [B]
      tokens, count, score = (np.asarray(a)[:, 0] for a in beams)
      for row, i in enumerate(indices):
        text = self._text(tokens[row, : count[row]])
        written[i] = Written(text, float(score[row]))
    return [written[i] for i in range(len(sources))]

  def sample(self, sources: Sequence[str], how: Sampling, seed: int) -> list[str]:
    """Samples a text for each source; equal sources and seeds give equal texts.

    Args:
      sources: the texts to read; longer ones are truncated to a row.
      how: how tokens are drawn.
      seed: seed of the draws.
    """
    sampled: dict[int, str] = {}
    for indices, read, size, first in self._rows(sources):
      # a key depends on the source, so that a text does not depend on its batch
      row_sources = [sources[i].encode() for i in indices]
      keys = keys_of(seed, row_sources + [b""] * (ROWS - len(row_sources)))
      tokens = np.asarray(self._sample(self._params, read, size, first, keys, how))
      sampled |= {i: self._text(row) for i, row in zip(indices, tokens, strict=False)}
    return [sampled[i] for i in range(len(sources))]

  def _rows(self, sources: Sequence[str]) -> Iterator[tuple]:
    """Yields indices of sources, and `ROWS` rows of ids, lengths and first tokens."""
    ids = [
      texts.encode(source, self._tokenizer, "the text")[: self._length]
      for source in sources
    ]
    order = np.argsort([*map(len, ids)], kind="stable")  # alike lengths pad little
    for items, real in once(len(ids), ROWS):
      indices = order[items]
      length = data.rounded(max(len(ids[i]) for i in indices), self._length)
      read, size = data.padded([ids[i] for i in indices], length)  # [ROWS, T], [ROWS]
      first = np.full(len(indices), self._tokenizer.eos_id, np.int32)
      yield indices[:real].tolist(), *map(jnp.asarray, (read, size, first))

  def _text(self, ids: np.ndarray) -> str:
    return self._tokenizer.decode(ids).decode(errors="replace").strip()
