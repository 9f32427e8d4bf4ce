"""Words by their frequency: the ten commonest of a list, the three most frequent codes.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (aggregation): common words 30
times and others 3 times, below 4096 tokens 6 times and once, as in its code; coded
words by a Zipf law with exponent 2, the commonest of which is dots and does not count.
Where that does not fit, as where tokens are bytes, common words occur 6 times, or 3
times and without the example before them.
"""

import itertools
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxmem.evaluation.longbench import Draft, LongbenchTask
from jaxmem.evaluation.longbench.metrics import string_match_all
from jaxmem.evaluation.longbench.page import Page
from jaxmem.evaluation.longbench.wordlists import ADJECTIVES, NOUNS

GROUP = "ruler"
COMMON = 10
ALPHA = 2.0
CODE_LENGTH = 6
DOTS = "..."
_ZETA_2 = np.pi**2 / 6


class Times(NamedTuple):
  """How often words occur.

  Attributes:
    common: occurrences of each common word.
    other: occurrences of each other word.
    shown_common: occurrences of each common word of the example.
    shown_other: occurrences of each other word of the example.
    shown: how many other words the example has; 0 is no example.
  """

  common: int
  other: int
  shown_common: int = 0
  shown_other: int = 0
  shown: int = 0


TIMES = (Times(30, 3, 10, 3, 30), Times(6, 1, 3, 1, 10), Times(3, 1))


def _vocabulary(rng: np.random.Generator) -> Iterator[str]:
  """Yields words, none twice: single ones first, then compounds of two and three."""
  joined = ("".join(pair) for pair in itertools.product(ADJECTIVES, NOUNS))
  triples = ("".join(t) for t in itertools.product(ADJECTIVES, ADJECTIVES, NOUNS))
  for words in ([*ADJECTIVES, *NOUNS], list(joined), triples):
    # the triples are too many to permute
    order = rng.permutation(words) if isinstance(words, list) else words
    yield from map(str, order)


def _apart(words: Iterator[str], answers: list[str]) -> Iterator[str]:
  """Yields the words that neither contain nor are contained in one of `answers`.

  So no other word spells an answer by chance.
  """
  return (w for w in words if not any(a in w or w in a for a in answers))


def _numbered(rng: np.random.Generator, groups: list[tuple[list[str], int]]) -> str:
  items = [word for words, count in groups for word in words * count]
  order = rng.permutation(len(items))
  return " ".join(f"{i}. {items[j]}" for i, j in enumerate(order, 1))


def _block(listed: str) -> str:
  return (
    "In the numbered list below, some words stand more often than others. Remember the "
    f"commonest.\n\n{listed}\n\nQuestion: Which {COMMON} words stand most often in the "
    f"list above?\nAnswer: The {COMMON} words that stand most often are:"
  )


def _cwe(page: Page) -> Draft:
  seed, allowed = int(page.rng.integers(2**32)), TIMES[page.length < 4096 :]
  for times in allowed:
    build, largest = _common(np.random.default_rng(seed), times, page.room)
    if page.fits(build(COMMON)):  # the fewest other words, with this many repeats
      break
  return page.fill(build, COMMON, largest)


def _common(
  rng: np.random.Generator, times: Times, room: int
) -> tuple[Callable[[int], Draft], int]:
  """Returns number of other words -> draft, and the largest number."""
  words = _vocabulary(rng)
  # all answers are single words, as are those of the example
  single = list(itertools.islice(words, len(ADJECTIVES) + len(NOUNS)))
  answers, example_answers = single[:COMMON], single[COMMON : 2 * COMMON]
  others = _apart(itertools.chain(single[2 * COMMON :], words), answers)
  example = ""
  if times.shown:
    example_others = list(itertools.islice(others, times.shown))
    listed = _numbered(
      rng, [(example_answers, times.shown_common), (example_others, times.shown_other)]
    )
    listed_answers = " ".join(
      f"{i}. {word}" for i, word in enumerate(example_answers, 1)
    )
    example = f"{_block(listed)} {listed_answers}.\n\n"
  num_others = max(room // times.other, COMMON)
  others, seed = list(itertools.islice(others, num_others)), int(rng.integers(2**32))

  def build(count: int) -> Draft:
    groups = [(answers, times.common), (others[:count], times.other)]
    listed = _numbered(np.random.default_rng(seed), groups)
    return Draft(example + _block(listed), tuple(answers))

  return build, len(others)


def _codes(rng: np.random.Generator, count: int) -> list[str]:
  codes: dict[str, None] = {}
  while len(codes) < count:
    codes["".join(rng.choice(list(string.ascii_lowercase), CODE_LENGTH))] = None
  return list(codes)


def _fwe(page: Page) -> Draft:
  rng = page.rng
  codes = _codes(rng, max(page.length // 50, 10))
  ranks = np.arange(1, len(codes) + 2)  # the dots have rank 1
  seed = int(rng.integers(2**32))

  def count_of(total: int) -> np.ndarray:  # [code]
    return (total * ranks**-ALPHA / _ZETA_2).astype(int)

  # index 0 is the dots: the third code has to be more frequent than the fourth
  least = next(n for n in itertools.count(1) if count_of(n)[3] > count_of(n)[4] > 0)

  def build(total: int) -> Draft:
    counts = count_of(total)
    words = [w for w, n in zip([DOTS, *codes], counts, strict=True) for _ in range(n)]
    order = np.random.default_rng(seed).permutation(len(words))
    prompt = (
      "The text below is written in coded words. Keep count of each of them.\n\n"
      f"{' '.join(words[i] for i in order)}\n\nQuestion: Which three coded words stand "
      f"most often in the text above? The dots {DOTS!r} do not count.\nAnswer: The "
      "three coded words that stand most often are"
    )
    return Draft(prompt, tuple(codes[:3]))

  return page.fill(build, least, 4 * max(page.room, least))


TASKS = {
  "cwe": LongbenchTask(_cwe, 120, string_match_all),
  "fwe": LongbenchTask(_fwe, 50, string_match_all),
}
