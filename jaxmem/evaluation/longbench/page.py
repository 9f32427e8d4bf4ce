"""What a task writes a sample on: its own random numbers, a length, the material."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench.haystack import Haystack
from jaxmem.tokenizers import Tokenizer


class Material(NamedTuple):
  """What samples are made of.

  Attributes:
    tokenizer: lengths are counted by it.
    haystack: the long text.
    papers: task -> its questions and paragraphs, see `questions`.
    depths: of the needle grid.
    max_tokens: no task writes more; 0 leaves each its own number.
  """

  tokenizer: Tokenizer
  haystack: Haystack
  papers: Mapping[str, Any] = {}
  depths: int = 5
  max_tokens: int = 0


class Sample(NamedTuple):
  """A question that is ready to be asked.

  Attributes:
    task, length, seed, index: which one it is; nothing else decides what it says.
    draft: the prompt and the answers.
    tokens: of the prompt, the EOS token before it included.
    max_tokens: of the answer; `tokens + max_tokens <= length`.
  """

  task: str
  length: int
  seed: int
  index: int
  draft: longbench.Draft
  tokens: int
  max_tokens: int


class Page:
  """A sample on its way.

  Attributes:
    rng: the sample's own random numbers.
    length: of the context, in tokens.
    index: of the sample.
    room: tokens that the prompt may have, the EOS token before it not counted.
    material: see `Material`.
  """

  def __init__(self, task: str, length: int, seed: int, index: int, material: Material):
    name = f"{task}/{length}/{seed}/{index}"
    self._name, self.length, self.index, self.material = task, length, index, material
    digest = hashlib.sha256(name.encode()).digest()
    self.rng = np.random.default_rng(list(digest))
    self.max_tokens = written(task, material)
    self.room = max(length - self.max_tokens - 1, 0)

  def count(self, text: str) -> int:
    """Tokens of a text."""
    return len(self.material.tokenizer.encode(text.encode()))

  def fits(self, draft: longbench.Draft) -> bool:
    """Whether the room holds it."""
    return self.count(draft.prompt) <= self.room

  def fill(
    self, build: Callable[[int], longbench.Draft], least: int, most: int
  ) -> longbench.Draft:
    """The longest draft that the room holds.

    Cost: about five drafts, counted whole; so nothing is assumed of the tokenizer.

    Args:
      build: a size -> the draft of that size; tokens grow with the size.
      least: the smallest size that is a sample at all.
      most: the largest size.

    Raises:
      UserError: if even the smallest is too long; names the length that it needs.
    """
    size = lambda n: self.count(build(n).prompt)
    first = size(least)
    if first > self.room:
      raise UserError(
        f"task {self._name!r} does not fit {self.length:,} tokens: its shortest prompt "
        f"has {first + 1:,}, and {self.max_tokens:,} are written: give --lengths of at "
        f"least {first + 1 + self.max_tokens:,}, or leave the task out"
      )
    return build(_largest(size, self.room, least, most, first))


def written(task: str, material: Material) -> int:
  """Tokens that are written as an answer to the task."""
  own = longbench.tasks()[task].max_tokens
  return min(own, material.max_tokens or own)


def sample(task: str, length: int, seed: int, index: int, material: Material) -> Sample:
  """The sample of that name.

  Raises:
    UserError: if the task does not fit the length, or the material is too short.
  """
  page = Page(task, length, seed, index, material)
  draft = longbench.tasks()[task].draw(page)
  tokens = 1 + page.count(draft.prompt)
  return Sample(task, length, seed, index, draft, tokens, page.max_tokens)


def _largest(
  size: Callable[[int], int], room: int, least: int, most: int, first: int
) -> int:
  """The largest n <= most with size(n) <= room: by the slope, then by halves."""
  low, low_size, high = least, first, most + 1
  slope, tries = 1.0, 0
  while low + 1 < high:
    guess = low + int((room - low_size) / slope) if tries < 8 else (low + high) // 2
    guess = min(max(guess, low + 1), high - 1)
    found = size(guess)
    slope = max((found - first) / (guess - least), 1e-3)
    if found <= room:
      low, low_size = guess, found
    else:
      high = guess
    tries += 1
  return low
