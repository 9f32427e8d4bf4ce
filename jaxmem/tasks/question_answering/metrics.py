"""Exact match and F1 of answers, by the rules of SQuAD and of CMRC 2018, and by words.

    squad   for English: cuts at spaces, drops ASCII punctuation and articles; F1 is of
            the words that both answers have
    cmrc    for Chinese: cuts into Chinese characters and other words; F1 is of the
            longest run that both answers have
    words   for all other languages: cuts into words of any script, and characters of
            scripts without spaces; F1 as in squad, as MLQA does but for its articles

Source: Rajpurkar et al. 2016, arXiv:1606.05250; Cui et al. 2018, arXiv:1810.07366;
Lewis et al. 2019, arXiv:1910.07475 (MLQA).
"""

import collections
import re
import string
from collections.abc import Callable, Sequence

import numpy as np

from jaxmem.tasks import language as languages

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MIXED = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


def squad_words(text: str) -> list[str]:
  """Lowers the case, drops ASCII punctuation and English articles, cuts at spaces."""
  letters = "".join(c for c in text.lower() if c not in string.punctuation)
  return _ARTICLES.sub(" ", letters).split()


def cmrc_words(text: str) -> list[str]:
  """Cuts into Chinese characters and other words, in lower case, without punctuation.

  A text of symbols alone is cut at spaces.
  """
  return _MIXED.findall(text.lower()) or text.split()


def any_words(text: str) -> list[str]:
  """Cuts into words of any script in lower case, a text of symbols alone at spaces."""
  return languages.words(text) or text.split()


def squad_f1(answer: str, reference: str) -> float:
  """Returns the F1 of the words of `squad_words` that both answers have."""
  return _shared(squad_words(answer), squad_words(reference))


def words_f1(answer: str, reference: str) -> float:
  """Returns the F1 of the words of `any_words` that both answers have."""
  return _shared(any_words(answer), any_words(reference))


def _shared(a: list[str], b: list[str]) -> float:
  """Returns the F1 of the words of two lists, each as often as both have it."""
  # without words F1 is 1 if both answers have none, else 0
  both = sum((collections.Counter(a) & collections.Counter(b)).values())
  return 2 * both / (len(a) + len(b)) if a and b else float(a == b)


def cmrc_f1(answer: str, reference: str) -> float:
  """Returns the F1 of the longest run of words that both answers have."""
  a, b = cmrc_words(answer), cmrc_words(reference)
  # row[j + 1]: the length of the longest common run that ends at this word and at b[j]
  best, last = 0, [0] * (len(b) + 1)
  for word in a:
    row = [0] + [last[j] + 1 if word == other else 0 for j, other in enumerate(b)]
    best, last = max(best, *row), row
  return 2 * best / (len(a) + len(b)) if a and b else float(a == b)


class Rule(collections.namedtuple("Rule", "words f1")):
  """How a benchmark compares answers.

  Attributes:
    words: cuts a text into words.
    f1: (answer, reference) -> F1.
  """

  words: Callable[[str], list[str]]
  f1: Callable[[str, str], float]


RULES = {
  "squad": Rule(squad_words, squad_f1),
  "cmrc": Rule(cmrc_words, cmrc_f1),
  "words": Rule(any_words, words_f1),
}


def rule_of(language: str) -> str:
  """Returns "squad" for English, "cmrc" for Chinese, "words" for other languages."""
  return {"en": "squad", "zh": "cmrc"}.get(language, "words")


def numbers(
  rule: str, answers: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
  """Computes the mean exact match and F1 in per cent.

  Args:
    rule: a name of `RULES`.
    answers: one answer to each question.
    references: the right answers to each question; the best one counts.
  """
  words, f1 = RULES[rule]
  pairs = [*zip(answers, references, strict=True)]
  exact = [any(words(a) == words(r) for r in right) for a, right in pairs]
  best = [max(f1(a, r) for r in right) for a, right in pairs]
  return {"exact": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(best))}
