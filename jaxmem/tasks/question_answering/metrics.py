"""Exact match and F1 of answers, by the rules of SQuAD and of CMRC 2018, and by words.

    squad   cut at spaces, without ASCII punctuation and English articles; F1 of the
            words that both have: for English
    cmrc    Chinese characters and other words; F1 of the longest run that both have
    words   words of any script, characters of scripts without spaces; F1 as in squad:
            for all other languages, as MLQA does but for its articles

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
  """Lower case, without punctuation and articles, cut at spaces."""
  kept = "".join(c for c in text.lower() if c not in string.punctuation)
  return _ARTICLES.sub(" ", kept).split()


def cmrc_words(text: str) -> list[str]:
  """Chinese characters and other words, lower case, without punctuation; of a text of
  symbols alone, what spaces part."""
  return _MIXED.findall(text.lower()) or text.split()


def any_words(text: str) -> list[str]:
  """Words of any script in lower case; of a text of symbols alone, what spaces part."""
  return languages.words(text) or text.split()


def squad_f1(answer: str, wanted: str) -> float:
  """Of the words that both have, as often as both."""
  return _shared(squad_words(answer), squad_words(wanted))


def words_f1(answer: str, wanted: str) -> float:
  """Likewise, of words of any script."""
  return _shared(any_words(answer), any_words(wanted))


def _shared(a: list[str], b: list[str]) -> float:
  both = sum((collections.Counter(a) & collections.Counter(b)).values())
  return 2 * both / (len(a) + len(b)) if a and b else float(a == b)


def cmrc_f1(answer: str, wanted: str) -> float:
  """Of the longest run of words that both have."""
  a, b = cmrc_words(answer), cmrc_words(wanted)
  best, last = 0, [0] * (len(b) + 1)
  for one in a:
    row = [0] + [last[j] + 1 if one == other else 0 for j, other in enumerate(b)]
    best, last = max(best, *row), row
  return 2 * best / (len(a) + len(b)) if a and b else float(a == b)


class Rule(collections.namedtuple("Rule", "words f1")):
  """How a set cuts words, and its F1."""

  words: Callable[[str], list[str]]
  f1: Callable[[str, str], float]


RULES = {
  "squad": Rule(squad_words, squad_f1),
  "cmrc": Rule(cmrc_words, cmrc_f1),
  "words": Rule(any_words, words_f1),
}


def rule_of(language: str) -> str:
  """The rule for a language: "squad" for English, "cmrc" for Chinese, else "words"."""
  return {"en": "squad", "zh": "cmrc"}.get(language, "words")


def numbers(
  rule: str, answers: Sequence[str], wanted: Sequence[Sequence[str]]
) -> dict[str, float]:
  """Mean exact match and F1 in per cent, of several right answers the best."""
  words, f1 = RULES[rule]
  pairs = [*zip(answers, wanted, strict=True)]
  exact = [any(words(a) == words(w) for w in some) for a, some in pairs]
  best = [max(f1(a, w) for w in some) for a, some in pairs]
  return {"exact": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(best))}
