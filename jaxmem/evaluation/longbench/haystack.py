"""Long texts to hide things in: a source, a drone, and how a thing is put inside."""

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

# Said again and again: a haystack in which anything else stands out.
DRONE = (
  "The river runs slowly past the mill. Rain falls on the roofs, and then it stops. "
  "Somebody closes a door. Nothing else happens, and the day goes on as before. "
)
# Words after which a text without ends of sentences may be parted at the end of a line,
# and after which it may be anywhere.
LONG, LONGEST = 20, 40
_READ_BYTES = 1 << 16


class Text(NamedTuple):
  """Words in a row, and the places where something can be put between them.

  Attributes:
    words: each with the white space behind it.
    borders: ascending; a thing may stand before the word of that number.
  """

  words: Sequence[str]
  borders: Sequence[int]


class Haystack:
  """The text of a source as a ring: it can be entered anywhere, and repeats nothing."""

  def __init__(self, source: str, tokenizer: Tokenizer):
    """Args: as `jaxmem.data.sources.find`, and what tokens are counted by.

    Raises:
      DataError: if the source is not there or empty.
    """
    self.source, self._tokenizer = source, tokenizer
    self.pieces = sources.find(source)
    self._ends = np.cumsum([piece.size for piece in self.pieces]).tolist()

  def text(self, rng: np.random.Generator, tokens: int) -> Text:
    """At least `tokens` tokens, from a random place on.

    Raises:
      UserError: if all the source has fewer; names both numbers.
    """
    step = min(max(8 * tokens, 512), _READ_BYTES)
    size = lambda part: len(self._tokenizer.encode(part.encode()))
    count, parts = 0, []
    for part in self._from(int(rng.integers(self._ends[-1])), step):
      parts.append(part)
      count += size(part)
      if count >= tokens:
        return split("".join(parts))
    whole = (p for piece in self.pieces for p in _decoded(piece, 0, piece.size, step))
    count = sum(map(size, whole))
    raise UserError(
      f"haystack {self.source!r} has {count:,} tokens, and a context with room for "
      f"{tokens:,} is to be filled: give a longer --haystack or shorter --lengths; "
      "text is never repeated"
    )

  def _from(self, at: int, step: int) -> Iterator[str]:
    """The ring once round, from the word behind byte `at`, in parts of `step` bytes."""
    first = bisect.bisect_right(self._ends, at)
    inside = at - (self._ends[first] - self.pieces[first].size)
    texts = _decoded(self.pieces[first], inside, self.pieces[first].size, step)
    head = next(texts, "")
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
  """Bytes `begin` to `end` of a document as text; what is not UTF-8 is left out."""
  decoder = codecs.getincrementaldecoder("utf-8")("ignore")
  for at in range(begin, end, step):
    stop = min(at + step, end)
    place = dict(start=piece.start + at, stop=piece.start + stop)
    yield decoder.decode(dataclasses.replace(piece, **place).read(), stop == end)


def split(text: str) -> Text:
  """Words, and borders after sentences and paragraphs, and within what has neither."""
  words = re.findall(r"\S+\s*", text)
  borders = [0]
  for i, word in enumerate(words[:-1], 1):
    lines, since = word.count("\n"), i - borders[-1]
    ends = word.rstrip().rstrip("\"')]”’").endswith((".", "!", "?"))
    if ends or lines > 1 or (lines and since >= LONG) or since >= LONGEST:
      borders.append(i)
  return Text(words, borders)


def drone(tokens: int) -> Text:
  """DRONE again and again: as many words as `tokens`, none being shorter than one."""
  once = split(DRONE)
  size = len(once.words)
  words = list(itertools.islice(itertools.cycle(once.words), tokens))
  rounds = range(-(-tokens // size))
  return Text(words, [size * i + b for i in rounds for b in once.borders])


def listing(items: Sequence[str]) -> Text:
  """Sentences that are a haystack themselves; anything can stand between them."""
  return Text([item + " " for item in items], range(len(items)))


def put(text: Text, count: int, things: Sequence[tuple[float, str]]) -> str:
  """The first `count` words, with things between them.

  Args:
    text: the haystack.
    count: of its words, 0 .. all.
    things: depth, 0 .. 1 of the words, and what is put at the nearest border there; the
      end of the words is one too. Things at one border keep their order.
  """
  last = bisect.bisect_left(text.borders, count)
  places = []
  for depth, thing in things:
    at = depth * count
    i = bisect.bisect_left(text.borders, at, 0, last)
    near = [text.borders[j] for j in (i - 1, i) if 0 <= j < last] + [count]
    places.append((min(near, key=lambda border: abs(border - at)), thing))
  out, done = [], 0
  for place, thing in sorted(places, key=lambda each: each[0]):
    out += text.words[done:place]
    gap = "" if not out or out[-1][-1:].isspace() else " "
    out.append(f"{gap}{thing} ")
    done = place
  return "".join([*out, *text.words[done:count]]).rstrip()
