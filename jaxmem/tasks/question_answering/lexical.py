"""Answers that need no learning: where the words of the question stand.

A word of the question is worth log(1 + N / n), where it stands n times among the N
words of the text.

Source: after the sliding window of Richardson et al. 2013 (MCTest), which is slid over
given answers.
"""

import collections
import functools
import re

import numpy as np

from jaxmem.tasks import language as languages
from jaxmem.tasks.question_answering.metrics import RULES

# Where clauses end.
_CLAUSES = re.compile(r"[^,.;:?!，。；：？！、।॥،؛؟۔።]+")


@functools.cache
def _pieces() -> re.Pattern:
  """What a text is cut into for candidates: characters of scripts without spaces, with
  their marks, and what stands between spaces."""
  alone = languages.SPACELESS
  return re.compile(rf"[{alone}][{languages.MARKS}]*|[^\s{alone}]+")


def near(question: str, context: str, rule: str, length: int) -> str:
  """The `length` words of a text nearest to the question's words.

  A word of the question counts its worth over 1 + its distance, and against a candidate
  that it stands in: nobody asks for what he says.

  Args:
    question: asked.
    context: the text.
    rule: how words are cut, see `span_metrics.RULES`.
    length: words of the answer.
  """
  places, tokens, worth = _worth(question, context, rule)
  at = np.flatnonzero(worth)
  at = at if len(at) else np.array([0])
  size = min(length, len(tokens))
  begin = np.arange(len(tokens) - size + 1)[:, None]
  before, behind = begin - at, at - (begin + size - 1)
  distance = np.maximum(np.maximum(before, behind), 0)
  score = np.where(distance > 0, worth[at] / (1.0 + distance), -worth[at]).sum(1)
  first = int(score.argmax())
  return context[places[first][0] : places[first + size - 1][1]]


def clause(question: str, context: str, rule: str) -> str:
  """The clause of a text with the most worth of the question's words, each once."""
  places, tokens, worth = _worth(question, context, rule)
  found = [m for m in _CLAUSES.finditer(context) if m[0].strip()]
  if not found:
    return context.strip()

  def value(one: re.Match) -> float:
    inside = {
      t: w
      for (begin, end), t, w in zip(places, tokens, worth, strict=True)
      if begin < one.end() and end > one.start()
    }
    return sum(inside.values())

  return max(found, key=value)[0].strip()


def _worth(question: str, context: str, rule: str) -> tuple[list, list, np.ndarray]:
  """Places of a text's words, the words by the rule, and what each is worth."""
  words = RULES[rule].words
  places = [m.span() for m in _pieces().finditer(context)]
  tokens = [" ".join(words(context[a:b])) for a, b in places]
  asked, counts = set(words(question)), collections.Counter(tokens)
  worth = [np.log1p(len(tokens) / counts[t]) if t in asked else 0.0 for t in tokens]
  return places, tokens, np.array(worth)
