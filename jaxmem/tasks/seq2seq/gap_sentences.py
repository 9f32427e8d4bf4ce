"""Gap sentences: the sentences that matter most of a text are hidden, to be written.

What a sentence matters is the ROUGE-1 F1 of its words against those of all the others,
so that what is to be written of the rest is much like a summary of it.

Source: Zhang et al. 2019, arXiv:1912.08777 (Pegasus), section 3.1, "Ind-Orig".
"""

import collections

from jaxmem.data.sentences import sentences
from jaxmem.tasks.seq2seq.data import Pair
from jaxmem.tokenizers.trained import MASK
from jaxmem.tokenizers.words import words


def importance(parts: list[str]) -> list[float]:
  """Of each sentence the F1 of its words against those of the others, in [0, 1].

  Words count as often as they stand.
  """
  counts = [collections.Counter(words(part.lower())) for part in parts]
  every = sum(counts, collections.Counter())
  found = []
  for own in counts:
    rest = every - own
    both = sum((own & rest).values())
    found.append(2 * both / max(own.total() + rest.total(), 1))
  return found


def gapped(text: str, share: float) -> tuple[str, str] | None:
  """A text with sentences hidden, and those, in their order; None of one sentence.

  Args:
    text: any.
    share: of its sentences that are hidden, in (0, 1); one at least, and never all.
  """
  parts = sentences(text)
  if len(parts) < 2:
    return None
  count = min(max(round(share * len(parts)), 1), len(parts) - 1)
  scores = importance(parts)
  # of equal ones the first
  order = sorted(range(len(parts)), key=lambda i: -scores[i])
  hidden = {*order[:count]}
  read = " ".join(MASK if i in hidden else part for i, part in enumerate(parts))
  return read, " ".join(part for i, part in enumerate(parts) if i in hidden)


def pairs(texts: list[tuple[str, str]], share: float) -> list[Pair]:
  """The pairs of texts that have more than one sentence.

  Args:
    texts: each with where it is from.
    share: see `gapped`.
  """
  made = ((gapped(text, share), where) for text, where in texts)
  return [Pair(both[0], (both[1],), where) for both, where in made if both]
