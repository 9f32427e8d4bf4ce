"""Summaries of a text's own sentences: the first ones, or the nearest to all of it."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxmem.data.sentences import sentences


def first(text: str, count: int = 1) -> str:
  """Its first sentences, all if there are not so many."""
  return " ".join(sentences(text)[:count])


def mean_length(texts: Sequence[str]) -> int:
  """How many sentences texts have in the mean, to the nearest, at least one."""
  return max(round(float(np.mean([len(sentences(text)) for text in texts]))), 1)


def nearest(given: Sequence[str], embed: Callable) -> list[str]:
  """Of each text the sentence whose vector is nearest to that of the whole text.

  Args:
    given: texts.
    embed: texts to vectors of length 1, see `tasks.retrieval.embed.Embedder`.
  """
  cut = [sentences(text) for text in given]
  vectors = embed([*given, *(s for some in cut for s in some)])
  wholes, parts = vectors[: len(given)], vectors[len(given) :]
  ends = np.cumsum([0, *map(len, cut)])
  found = []
  for some, whole, begin in zip(cut, wholes, ends[:-1], strict=True):
    scores = parts[begin : begin + len(some)] @ whole
    found.append(some[int(scores.argmax())])
  return found
