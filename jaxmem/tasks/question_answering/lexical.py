"""The baselines of question answering, which look for the words of the question.

A word of the question is worth log(1 + N / n) if it occurs n times among the N words of
the text.

Source: Richardson et al. 2013 (MCTest), whose window slides over given answers; here it
slides over the text.
"""

import collections
import functools
import re

import numpy as np

from jaxmem.tasks import language as languages
from jaxmem.tasks.question_answering.metrics import RULES

# A clause: what is between two marks of punctuation, of any script.
_CLAUSES = re.compile(r"[^,.;:?!，。；：？！、।॥،؛؟۔።]+")


@functools.cache
def _pieces() -> re.Pattern:
  """Matches the units of candidates.

  They are characters of scripts without spaces, with their marks, and in other scripts
  what is between spaces.
  """
  spaceless = languages.SPACELESS
  return re.compile(rf"[{spaceless}][{languages.MARKS}]*|[^\s{spaceless}]+")


def near(question: str, context: str, rule: str, length: int) -> str:
  """Returns the `length` words of a text that are nearest to the question's words.

      score(window) = sum over words w of the question
                        worth(w) / (1 + distance(w, window)),  if w is outside
                        -worth(w),                             if w is inside

  Cost: O(N Q) for N words of the text, Q of which are in the question.

  Args:
    question: the question.
    context: the text.
    rule: how words are cut, see `metrics.RULES`.
    length: words of the answer.
  """
  spans, tokens, worth = _worth(question, context, rule)
  position = np.flatnonzero(worth)  # [Q]
  position = position if len(position) else np.array([0])
  size = min(length, len(tokens))
  begin = np.arange(len(tokens) - size + 1)[:, None]  # [W, 1]
  before, after = begin - position, position - (begin + size - 1)  # [W, Q]
  distance = np.maximum(np.maximum(before, after), 0)  # [W, Q]
  # nobody asks for what the question has: a word inside counts against the window
  score = np.where(
    distance > 0, worth[position] / (1.0 + distance), -worth[position]
  ).sum(1)  # [W]
  first = int(score.argmax())
  return context[spans[first][0] : spans[first + size - 1][1]]


def clause(question: str, context: str, rule: str) -> str:
  """Returns the clause whose words of the question are worth most, each counted once.

  Args:
    question: the question.
    context: the text.
    rule: how words are cut, see `metrics.RULES`.
  """
  spans, tokens, worth = _worth(question, context, rule)
  clauses = [m for m in _CLAUSES.finditer(context) if m[0].strip()]
  if not clauses:
    return context.strip()

  def value(candidate: re.Match) -> float:
    inside = {
      t: w
      for (begin, end), t, w in zip(spans, tokens, worth, strict=True)
      if begin < candidate.end() and end > candidate.start()
    }
    return sum(inside.values())

  return max(clauses, key=value)[0].strip()


def _worth(question: str, context: str, rule: str) -> tuple[list, list, np.ndarray]:
  """Returns the spans of a text's words, the words by the rule, and their worth [N]."""
  words = RULES[rule].words
  spans = [m.span() for m in _pieces().finditer(context)]
  tokens = [" ".join(words(context[a:b])) for a, b in spans]
  in_question, counts = set(words(question)), collections.Counter(tokens)
  worth = [
    np.log1p(len(tokens) / counts[t]) if t in in_question else 0.0 for t in tokens
  ]
  return spans, tokens, np.array(worth)
