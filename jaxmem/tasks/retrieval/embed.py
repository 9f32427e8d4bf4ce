"""Embeds texts with a model that learned retrieval."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxmem.data import texts
from jaxmem.data.epochs import once
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tokenizers import Tokenizer

# Texts of a batch, and the steps of its length, so that few shapes are compiled.
ROWS, STEP = 32, 32
# The packaged encoder, and how many tokens of a text it reads.
MINILM, MINILM_LENGTH = "minilm", 256


class Embedder:
  """Maps texts to vectors of unit norm.

  Attributes:
    dim: D, the size of a vector.
    model: the encoder.
    params: its parameters.
    tokenizer: the tokenizer of its texts.
  """

  def __init__(
    self, model: TextEmbedder, params: Any, tokenizer: Tokenizer, length: int
  ):
    """Compiles the model.

    Args:
      model: a trained encoder.
      params: its parameters.
      tokenizer: the tokenizer of its texts.
      length: T, the most tokens that are read of a text.
    """
    self.dim = model.config.d_model
    self.model, self.params, self.tokenizer = model, params, tokenizer
    self._length = length
    self._step = model.config.window or STEP
    self._embed = jax.jit(
      lambda params, batch: model.apply({"params": params}, batch, method="embed")
    )

  def check(self, text: str) -> None:
    """Raises a DataError if the tokenizer makes no token of a text."""
    texts.encode(text, self.tokenizer, "the text")

  def __call__(self, documents: Sequence[str]) -> Float[np.ndarray, "N D"]:
    """Returns a vector for each text, of its first `length` tokens.

    Args:
      documents: the texts.

    Raises:
      DataError: if the tokenizer makes no token of a text.
    """
    ids = [texts.encode(text, self.tokenizer, "the text") for text in documents]
    # texts of like length share a batch, so that there is little padding
    order = np.argsort([len(text_ids) for text_ids in ids], kind="stable")
    vectors = np.zeros((len(ids), self.dim), np.float32)
    for items, real in once(len(ids), ROWS):
      rows = order[items]
      longest = max(len(ids[i]) for i in rows) + 2  # with the tokens around a text
      length = min(-(-longest // self._step) * self._step, self._length)
      batch = texts.batch([[ids[i]] for i in rows], self.tokenizer, length)
      vectors[rows[:real]] = np.asarray(self._embed(self.params, batch))[:real]
    return vectors


def embeds(model: Any) -> bool:
  """Whether a model maps texts to vectors, so that an `Embedder` can be made of it."""
  return isinstance(model, TextEmbedder)


def minilm(length: int = MINILM_LENGTH) -> Embedder:
  """Returns the packaged encoder.

  Args:
    length: the most tokens that are read of a text.
  """
  from jaxmem import tokenizers
  from jaxmem.interop import minilm

  model = TextEmbedder(minilm.config())
  return Embedder(model, minilm.read(), tokenizers.get(MINILM), length)
