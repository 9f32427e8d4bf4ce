"""Texts to vectors, by a model that learned retrieval."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxmem.data import texts
from jaxmem.data.epochs import once
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tokenizers import Tokenizer

# Texts that are read at once, and steps of their length: few shapes are compiled.
ROWS, STEP = 32, 32
# The packaged encoder, and the tokens that it reads of a text.
MINILM, MINILM_LENGTH = "minilm", 256


class Embedder:
  """Vectors of length 1.

  Attributes:
    dim: D, numbers of a vector.
    model: the encoder.
    params: its parameters.
    tokenizer: text to ids.
  """

  def __init__(
    self, model: TextEmbedder, params: Any, tokenizer: Tokenizer, length: int
  ):
    """Compiles the model.

    Args:
      model: a trained one.
      params: its parameters.
      tokenizer: of its texts.
      length: T, tokens that are read of a text.
    """
    self.dim = model.config.d_model
    self.model, self.params, self.tokenizer = model, params, tokenizer
    self._length = length
    self._step = model.config.window or STEP
    self._embed = jax.jit(
      lambda params, batch: model.apply({"params": params}, batch, method="embed")
    )

  def check(self, text: str) -> None:
    """Raises DataError if the tokenizer makes nothing of a text."""
    texts.encode(text, self.tokenizer, "the text")

  def __call__(self, given: Sequence[str]) -> Float[np.ndarray, "N D"]:
    """A vector for each text, read to the length.

    Raises:
      DataError: if the tokenizer makes nothing of a text.
    """
    encode = lambda text: texts.encode(text, self.tokenizer, "the text")
    ids = [encode(text) for text in given]
    order = np.argsort([len(own) for own in ids], kind="stable")  # little padding
    found = np.zeros((len(ids), self.dim), np.float32)
    for items, real in once(len(ids), ROWS):
      some = order[items]
      longest = max(len(ids[i]) for i in some) + 2
      length = min(-(-longest // self._step) * self._step, self._length)
      batch = texts.batch([[ids[i]] for i in some], self.tokenizer, length)
      found[some[:real]] = np.asarray(self._embed(self.params, batch))[:real]
    return found


def embeds(model: Any) -> bool:
  """Whether a model makes vectors of texts, so that an `Embedder` can be made of it."""
  return isinstance(model, TextEmbedder)


def minilm(length: int = MINILM_LENGTH) -> Embedder:
  """The packaged encoder."""
  from jaxmem import tokenizers
  from jaxmem.interop import minilm

  model = TextEmbedder(minilm.config())
  return Embedder(model, minilm.read(), tokenizers.get(MINILM), length)
