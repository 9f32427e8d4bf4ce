"""What an encoder-decoder writes of texts, by beam search."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem import beam
from jaxmem.data import pairs, texts
from jaxmem.data.epochs import once
from jaxmem.data.tokenizers import Tokenizer
from jaxmem.errors import UserError
from jaxmem.models.encoder_decoder import EncoderDecoder

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
    apply = lambda params, *args, method: model.apply(
      {"params": params}, *args, method=method
    )

    @jax.jit
    def search(params, read, size, first):
      logits, state = apply(params, read, size, first, method="start")
      step = functools.partial(apply, params, method="step")
      options = dict(boundary=tokenizer.boundary, beams=beams, alpha=alpha)
      # the boundary has a place of the row
      return beam.search(step, logits, state, length=length - 1, **options)

    self._search = search

  def check(self, text: str) -> None:
    """Raises UserError if a text cannot be read, or is longer than a row."""
    count = len(texts.encode(text, self._tokenizer, "the text"))
    if count > self._length:
      raise UserError(
        f"the text has {count} tokens, the run reads {self._length}: cut it, or train "
        "with a larger data.segment_length"
      )

  def write(self, given: Sequence[str]) -> list[Written]:
    """The best text of each; a longer one is read to the length of a row."""
    encode = lambda text: texts.encode(text, self._tokenizer, "the text")[
      : self._length
    ]
    ids = [encode(text) for text in given]
    order = np.argsort([len(own) for own in ids], kind="stable")  # little padding
    found: dict[int, Written] = {}
    for items, real in once(len(ids), ROWS):
      some = order[items]
      length = pairs.rounded(max(len(ids[i]) for i in some), self._length)
      read, size = pairs.padded([ids[i] for i in some], length)
      first = np.full(len(some), self._tokenizer.boundary, np.int32)
      best = self._search(self._params, read, size, first)
      tokens, count, score = (np.asarray(a)[:, 0] for a in best)
      for j, i in enumerate(some[:real].tolist()):
        text = self._tokenizer.decode(tokens[j, : count[j]]).decode(errors="replace")
        found[i] = Written(text.strip(), float(score[j]))
    return [found[i] for i in range(len(ids))]
