"""Haystacks: long texts from a source or of repeated sentences, and what they hide."""

import bisect
import codecs
import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.data import sources
from jaxmem.data.file_slice import FileSlice
from jaxmem.tokenizers import Tokenizer

# These sentences are repeated: a haystack in which anything else stands out.
DRONE = (
  "The river runs slowly past the mill. Rain falls on the roofs, and then it stops. "
  "Somebody closes a door. Nothing else happens, and the day goes on as before. "
)
# A text without ends of sentences may be split at the end of a line after LONG words,
# and anywhere after LONGEST.
LONG, LONGEST = 20, 40
_READ_BYTES = 1 << 16


class Text(NamedTuple):
  """Words in a row, and the borders at which a sentence can be inserted.

  Attributes:
    words: the words, each with the white space after it.
    borders: ascending indices of words that a sentence may be inserted before.
  """

  words: Sequence[str]
  borders: Sequence[int]


class Haystack:
  """The text of a source as a ring: it can be read from anywhere, without repeats."""

  def __init__(self, source: str, tokenizer: Tokenizer):
    """Finds the files of the source.

    Args:
      source: files, as `jaxmem.data.sources.find` takes them.
      tokenizer: the tokenizer that lengths are counted by.

    Raises:
      DataError: if the source is missing or empty.
    """
    self.source, self._tokenizer = source, tokenizer
    self.pieces = sources.find(source)
    self._ends = np.cumsum([piece.size for piece in self.pieces]).tolist()

  def text(self, rng: np.random.Generator, tokens: int) -> Text:
    """Returns at least `tokens` tokens of text, from a random position.

    Raises:
      UserError: if the whole source has fewer; the message names both numbers.
    """
    step = min(max(8 * tokens, 512), _READ_BYTES)  # about 8 bytes a token
    count, parts = 0, []
    for part in self._from(int(rng.integers(self._ends[-1])), step):
      parts.append(part)
      count += self._count(part)
      if count >= tokens:
        return split("".join(parts))
    source = (p for piece in self.pieces for p in _decoded(piece, 0, piece.size, step))
    count = sum(map(self._count, source))
    raise UserError(
      f"haystack {self.source!r} has {count:,} tokens, and a context with room for "
      f"{tokens:,} is to be filled: give a longer --haystack or shorter --lengths; "
      "text is never repeated"
    )

  def _count(self, text: str) -> int:
    return len(self._tokenizer.encode(text.encode()))

  def _from(self, at: int, step: int) -> Iterator[str]:
    """Yields the ring once round, from the word after byte `at`, in parts of `step`."""
    first = bisect.bisect_right(self._ends, at)
    inside = at - (self._ends[first] - self.pieces[first].size)
    texts = _decoded(self.pieces[first], inside, self.pieces[first].size, step)
    head = next(texts, "")
    # byte `at` is likely inside a word, whose second half is not text of the source
    cut = re.search(r"\s(?=\S)", head) if inside else None
    yield head[cut.end() :] if cut else head
    yield from texts
    around = [*range(first + 1, len(self.pieces)), *range(first)]
    for i in around:
      yield "\n"
      yield from _decoded(self.pieces[i], 0, self.pieces[i].size, step)
    if inside:
      yield "\n"
      yield from _decoded(self.pieces[first], 0, inside, step)


def _decoded(piece: FileSlice, begin: int, end: int, step: int) -> Iterator[str]:
  """Yields bytes `begin` to `end` of a document as text, without what is not UTF-8."""
  decoder = codecs.getincrementaldecoder("utf-8")("ignore")
  for at in range(begin, end, step):
    stop = min(at + step, end)
    part = dataclasses.replace(piece, start=piece.start + at, stop=piece.start + stop)
    yield decoder.decode(part.read(), stop == end)


def split(text: str) -> Text:
  """Splits a text into words, with borders after sentences, paragraphs or long runs."""
  words = re.findall(r"\S+\s*", text)
  borders = [0]
  for i, word in enumerate(words[:-1], 1):
    lines, since = word.count("\n"), i - borders[-1]
    ends = word.rstrip().rstrip("\"')]”’").endswith((".", "!", "?"))
    if ends or lines > 1 or (lines and since >= LONG) or since >= LONGEST:
      borders.append(i)
  return Text(words, borders)


def drone(tokens: int) -> Text:
  """Returns `DRONE` repeated: `tokens` words, each of which is at least one token."""
  once = split(DRONE)
  size = len(once.words)
  words = list(itertools.islice(itertools.cycle(once.words), tokens))
  rounds = range(-(-tokens // size))
  return Text(words, [size * i + b for i in rounds for b in once.borders])


def listing(items: Sequence[str]) -> Text:
  """Returns a haystack made of sentences, with a border before each of them."""
  return Text([item + " " for item in items], range(len(items)))


def put(text: Text, count: int, needles: Sequence[tuple[float, str]]) -> str:
  """Returns the first `count` words of a haystack, with sentences inserted.

  Args:
    text: the haystack.
    count: how many of its words are used, 0 .. all.
    needles: pairs of a depth, 0 .. 1 of the words, and a sentence, which is inserted at
      the nearest border; the end of the words is one too. Sentences at one border keep
      their order.
  """
  last = bisect.bisect_left(text.borders, count)
  positions = []
  for depth, needle in needles:
    at = depth * count
    i = bisect.bisect_left(text.borders, at, 0, last)
    # the borders on both sides of the depth, and the end of the words
    near = [text.borders[j] for j in (i - 1, i) if 0 <= j < last] + [count]
    positions.append((min(near, key=lambda border: abs(border - at)), needle))
  out, num_copied = [], 0
  for position, needle in sorted(positions, key=lambda pair: pair[0]):
    out += text.words[num_copied:position]
    gap = "" if not out or out[-1][-1:].isspace() else " "
    out.append(f"{gap}{needle} ")
    num_copied = position
  return "".join([*out, *text.words[num_copied:count]]).rstrip()
