"""The held-out text of a run, scored by its model: while it trains, and at the end."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxmem.tasks.language_modeling import bits_per_byte
from jaxmem.tasks.language_modeling.bits_per_byte import WAYS, Scores


class HeldOut:
  """Held-out documents and the compiled model that scores them.

  Scoring draws no random number and has a memory of its own: nothing of a training run
  moves by it.
  """

  def __init__(
    self,
    model: Any,
    documents: Sequence[Any],
    tokenizer: Any,
    segment: int,
    document_length: int = 0,
  ):
    """Args: the language model; documents with name and text; the tokenizer; T of a
    segment; tokens after which a document is cut, 0 for none."""
    self._model, self._documents = model, documents
    self._tokenizer, self._segment = tokenizer, segment
    self._document_length = document_length
    self._losses = jax.jit(
      lambda params, *args: model.apply({"params": params}, *args, method="losses")
    )

  def score(self, params: Any, num_bytes: int, ways: tuple[str, ...] = WAYS) -> Scores:
    """The cost of a fixed choice of `num_bytes`, see `bits_per_byte.score`."""
    return bits_per_byte.score(
      lambda *args: self._losses(params, *args),
      self._model.init_state,
      bits_per_byte.choose(self._documents, num_bytes),
      self._tokenizer,
      self._segment,
      ways,
      document_length=self._document_length,
    )

  def longest(self, num_bytes: int) -> int:
    """Tokens of the longest document that `score` reads."""
    chosen = bits_per_byte.choose(self._documents, num_bytes)
    lengths = [len(self._tokenizer.encode(text)) + whole for _, text, whole in chosen]
    longest = max(lengths, default=0)
    return min(longest, self._document_length or longest)
