"""Gap sentences: the most important sentences of a text are hidden, to be written.

The importance of a sentence is the ROUGE-1 F1 of its words against those of all other
sentences, so that the hidden sentences resemble a summary of the others.

Source: Zhang et al. 2019, arXiv:1912.08777 (Pegasus), section 3.1, "Ind-Orig".
"""

import collections

from jaxmem.data.sentences import sentences
from jaxmem.tasks.seq2seq.data import Pair
from jaxmem.tokenizers.trained import MASK
from jaxmem.tokenizers.words import words


def importance(parts: list[str]) -> list[float]:
  """Returns the F1 of each sentence's words against those of the others, in [0, 1].

  Repeated words count as often as they occur.

  Args:
    parts: the sentences of a text.
  """
  counts = [collections.Counter(words(part.lower())) for part in parts]
  total = sum(counts, collections.Counter())
  scores = []
  for count in counts:
    others = total - count
    shared = sum((count & others).values())
    # 1 avoids 0 / 0 where no sentence has a word
    scores.append(2 * shared / max(count.total() + others.total(), 1))
  return scores


def gapped(text: str, share: float) -> tuple[str, str] | None:
  """Hides the most important sentences of a text.

  Args:
    text: the text.
    share: share of its sentences that are hidden, in (0, 1); at least one is hidden,
      and never all.

  Returns:
    The text with marks, and the hidden sentences in order; None for one sentence.
  """
  parts = sentences(text)
  if len(parts) < 2:
    return None
  count = min(max(round(share * len(parts)), 1), len(parts) - 1)
  scores = importance(parts)
  # the sort is stable: of equal scores the first sentence wins
  order = sorted(range(len(parts)), key=lambda i: -scores[i])
  hidden = {*order[:count]}
  read = " ".join(MASK if i in hidden else part for i, part in enumerate(parts))
  return read, " ".join(part for i, part in enumerate(parts) if i in hidden)


def pairs(texts: list[tuple[str, str]], share: float) -> list[Pair]:
  """Returns the pairs of the texts that have more than one sentence.

  Args:
    texts: the texts, each with its file and line.
    share: see `gapped`.
  """
  parts = ((gapped(text, share), where) for text, where in texts)
  return [Pair(both[0], (both[1],), where) for both, where in parts if both]
