"""What an encoder-decoder writes of texts, by beam search or drawn."""

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

# Texts that are written at once.
ROWS = 16


class Written(NamedTuple):
  """A text and its score: log p over the length penalty."""

  text: str
  score: float


class PairWriter:
  """Texts written of texts."""

  def __init__(
    self,
    model: EncoderDecoder,
    params: Any,
    tokenizer: Tokenizer,
    length: int,
    beams: int,
    alpha: float,
  ):
    """Args: a trained model; T, tokens of a row; see `beam.search`."""
    self._params, self._tokenizer, self._length = params, tokenizer, length
    # a table has rows that are no token: they are never written
    known = jnp.arange(model.config.vocab_size) < tokenizer.vocab_size

    def start(params, *args, method="start"):
      logits, state = model.apply({"params": params}, *args, method=method)
      return jnp.where(known, logits, beam.NEVER), state

    # the EOS token has a place of the row
    options = dict(eos_id=tokenizer.eos_id, length=length - 1)

    @jax.jit
    def search(params, *args):
      step = functools.partial(start, params, method="step")
      given = step, *start(params, *args)
      return beam.search(*given, beams=beams, alpha=alpha, **options)

    @jax.jit
    def sample(params, keys, how, *args):
      step = functools.partial(start, params, method="step")
      return decode.sample(step, *start(params, *args), keys, how, **options)

    self._search, self._sample = search, sample

  def check(self, text: str) -> None:
    """Raises UserError if a text cannot be read, or is longer than a row."""
    count = len(texts.encode(text, self._tokenizer, "the text"))
    if count > self._length:
      raise UserError(
        f"the text has {count} tokens, the run reads {self._length}: cut it, or train "
        "with a larger task.segment_length"
      )

  def write(self, given: Sequence[str]) -> list[Written]:
    """The best text of each; a longer one is read to the length of a row."""
    found: dict[int, Written] = {}
    for some, arrays in self._rows(given):
      best = self._search(self._params, *arrays)
      tokens, count, score = (np.asarray(a)[:, 0] for a in best)
      for j, i in enumerate(some):
        found[i] = Written(self._text(tokens[j, : count[j]]), float(score[j]))
    return [found[i] for i in range(len(given))]

  def sample(self, given: Sequence[str], how: Sampling, seed: int) -> list[str]:
    """A text drawn for each; equal texts and seeds give equal ones."""
    found: dict[int, str] = {}
    for some, arrays in self._rows(given):
      own = [given[i].encode() for i in some]
      keys = keys_of(seed, own + [b""] * (ROWS - len(own)))
      tokens = np.asarray(self._sample(self._params, keys, how, *arrays))
      found |= {i: self._text(row) for i, row in zip(some, tokens, strict=False)}
    return [found[i] for i in range(len(given))]

  def _rows(self, given: Sequence[str]) -> Iterator[tuple[list[int], tuple]]:
    """Which texts, and `ROWS` rows of arrays that begin with them."""
    encode = lambda text: texts.encode(text, self._tokenizer, "the text")[
      : self._length
    ]
    ids = [encode(text) for text in given]
    order = np.argsort([len(own) for own in ids], kind="stable")  # little padding
    for items, real in once(len(ids), ROWS):
      some = order[items]
      length = data.rounded(max(len(ids[i]) for i in some), self._length)
      read, size = data.padded([ids[i] for i in some], length)
      first = np.full(len(some), self._tokenizer.eos_id, np.int32)
      arrays = tuple(map(jnp.asarray, (read, size, first)))
      yield some[:real].tolist(), arrays

  def _text(self, ids: np.ndarray) -> str:
    return self._tokenizer.decode(ids).decode(errors="replace").strip()
