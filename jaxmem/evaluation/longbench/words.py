"""Words by how often they stand there: the ten commonest, the three most frequent.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (aggregation): common words 30
times and others 3 times, below 4096 tokens 6 times and once, as in its code; coded
words by a Zipf law with exponent 2, the commonest of which is dots and does not count.
Where that does not fit, as where tokens are bytes, common words stand 6 times, or 3
times and without the example before them.
"""

import itertools
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxmem.evaluation.longbench import Draft, Task
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
  """How often words stand there.

  Attributes:
    common, other: common words and others.
    shown_common, shown_other: the same in the example.
    shown: how many others the example has; 0 is no example.
  """

  common: int
  other: int
  shown_common: int = 0
  shown_other: int = 0
  shown: int = 0


TIMES = (Times(30, 3, 10, 3, 30), Times(6, 1, 3, 1, 10), Times(3, 1))


def _vocabulary(rng: np.random.Generator) -> Iterator[str]:
  """Words, none twice: single ones first, then two and three in one."""
  joined = ("".join(pair) for pair in itertools.product(ADJECTIVES, NOUNS))
  more = ("".join(t) for t in itertools.product(ADJECTIVES, ADJECTIVES, NOUNS))
  for some in ([*ADJECTIVES, *NOUNS], list(joined), more):
    order = rng.permutation(some) if isinstance(some, list) else some
    yield from map(str, order)


def _apart(words: Iterator[str], own: list[str]) -> Iterator[str]:
  """Those in which none of `own` stands, and which stand in none: no answer by luck."""
  return (w for w in words if not any(o in w or w in o for o in own))


def _numbered(rng: np.random.Generator, groups: list[tuple[list[str], int]]) -> str:
  words = [word for some, count in groups for word in some * count]
  order = rng.permutation(len(words))
  return " ".join(f"{i}. {words[j]}" for i, j in enumerate(order, 1))


def _block(listed: str) -> str:
  return (
    "In the numbered list below, some words stand more often than others. Remember the "
    f"commonest.\n\n{listed}\n\nQuestion: Which {COMMON} words stand most often in the "
    f"list above?\nAnswer: The {COMMON} words that stand most often are:"
  )


def _cwe(page: Page) -> Draft:
  seed, allowed = int(page.rng.integers(2**32)), TIMES[page.length < 4096 :]
  for how in allowed:
    build, most = _common(np.random.default_rng(seed), how, page.room)
    if page.fits(build(COMMON)):
      break
  return page.fill(build, COMMON, most)


def _common(
  rng: np.random.Generator, how: Times, room: int
) -> tuple[Callable[[int], Draft], int]:
  """The draft by the number of other words, and the largest number."""
  words = _vocabulary(rng)
  # all answers are single words, as are those of the example
  single = list(itertools.islice(words, len(ADJECTIVES) + len(NOUNS)))
  own, shown, rest = single[:COMMON], single[COMMON : 2 * COMMON], single[2 * COMMON :]
  others = _apart(itertools.chain(rest, words), own)
  example = ""
  if how.shown:
    few = list(itertools.islice(others, how.shown))
    listed = _numbered(rng, [(shown, how.shown_common), (few, how.shown_other)])
    said = " ".join(f"{i}. {word}" for i, word in enumerate(shown, 1))
    example = f"{_block(listed)} {said}.\n\n"
  most = max(room // how.other, COMMON)
  others, seed = list(itertools.islice(others, most)), int(rng.integers(2**32))

  def build(count: int) -> Draft:
    groups = [(own, how.common), (others[:count], how.other)]
    listed = _numbered(np.random.default_rng(seed), groups)
    return Draft(example + _block(listed), tuple(own))

  return build, len(others)


def _codes(rng: np.random.Generator, count: int) -> list[str]:
  codes: dict[str, None] = {}
  while len(codes) < count:
    codes["".join(rng.choice(list(string.ascii_lowercase), CODE_LENGTH))] = None
  return list(codes)


def _fwe(page: Page) -> Draft:
  rng = page.rng
  codes = _codes(rng, max(page.length // 50, 10))
  ranks = np.arange(1, len(codes) + 2)
  seed = int(rng.integers(2**32))
  count_of = lambda total: (total * ranks**-ALPHA / _ZETA_2).astype(int)
  # the third must be more frequent than the fourth, and all in the text
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
  "cwe": Task(_cwe, 120, string_match_all),
  "fwe": Task(_fwe, 50, string_match_all),
}
