"""Extractive summaries: the first sentences, or the one nearest to the whole text."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from jaxmem.data.sentences import sentences


def first(text: str, count: int = 1) -> str:
  """Returns the first sentences of a text, all if it has fewer.

  Args:
    text: the text.
    count: how many sentences.
  """
  return " ".join(sentences(text)[:count])


def mean_length(texts: Sequence[str]) -> int:
  """Returns the mean number of sentences, rounded, at least 1.

  Args:
    texts: the texts, at least one.
  """
  return max(round(float(np.mean([len(sentences(text)) for text in texts]))), 1)


def nearest(texts: Sequence[str], embed: Callable) -> list[str]:
  """Returns of each text the sentence whose vector is nearest to the whole text's.

  Args:
    texts: the texts.
    embed: texts to vectors of length 1, see `tasks.retrieval.embed.Embedder`.
  """
  sentences_of = [sentences(text) for text in texts]
  # one call embeds texts and sentences: the encoder batches them by length
  vectors = embed([*texts, *itertools.chain(*sentences_of)])
  text_vectors, parts = vectors[: len(texts)], vectors[len(texts) :]  # [N, D], [S, D]
  starts = np.cumsum([0, *map(len, sentences_of)])[:-1]
  chosen = []
  for candidates, vector, begin in zip(sentences_of, text_vectors, starts, strict=True):
    scores = parts[begin : begin + len(candidates)] @ vector
    chosen.append(candidates[int(scores.argmax())])
  return chosen
