"""A summary that is one of the text's own sentences: the nearest to all of it."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxmem.data.sentences import sentences


def first(text: str) -> str:
  """Its first sentence."""
  return sentences(text)[0]


def nearest(given: Sequence[str], embed: Callable) -> list[str]:
  """Of each text the sentence whose vector is nearest to that of the whole text.

  Args:
    given: texts.
    embed: texts to vectors of length 1, see `evals.vectors.Embedder`.
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
