"""The page that a task writes a sample on: random numbers, a length, the material."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench.haystack import Haystack
from jaxmem.tokenizers import Tokenizer


class Material(NamedTuple):
  """The material that samples are made of.

  Attributes:
    tokenizer: the tokenizer that lengths are counted by.
    haystack: the long text.
    papers: task -> its questions and paragraphs, see `questions`.
    depths: how many depths the needle grid has.
    max_tokens: a bound on the tokens of an answer; 0 leaves each task its own.
  """

  tokenizer: Tokenizer
  haystack: Haystack
  papers: Mapping[str, Any] = {}
  depths: int = 5
  max_tokens: int = 0


class Sample(NamedTuple):
  """A sample: its identity, which determines its text, and the prompt.

  Attributes:
    task: the name of the task.
    length: the length of the context, in tokens.
    seed: the seed of all samples.
    index: the number of the sample in its task and length.
    draft: the prompt and the answers.
    tokens: the length of the prompt, the EOS token before it included.
    max_tokens: the length of the answer; `tokens + max_tokens <= length`.
  """

  task: str
  length: int
  seed: int
  index: int
  draft: longbench.Draft
  tokens: int
  max_tokens: int


class Page:
  """A page that a task draws one sample on.

  Attributes:
    rng: the sample's own random numbers.
    length: the length of the context, in tokens.
    index: the number of the sample.
    max_tokens: how many tokens the model writes as its answer.
    room: tokens that the prompt may have, the EOS token before it not counted.
    material: see `Material`.
  """

  def __init__(self, task: str, length: int, seed: int, index: int, material: Material):
    name = f"{task}/{length}/{seed}/{index}"
    self._name, self.length, self.index, self.material = task, length, index, material
    # a hash of the name, so that a sample does not depend on those drawn before it
    digest = hashlib.sha256(name.encode()).digest()
    self.rng = np.random.default_rng(list(digest))  # 32 bytes of entropy
    self.max_tokens = written(task, material)
    self.room = max(length - self.max_tokens - 1, 0)  # 1 is the EOS token

  def count(self, text: str) -> int:
    """Returns the number of tokens of a text."""
    return len(self.material.tokenizer.encode(text.encode()))

  def fits(self, draft: longbench.Draft) -> bool:
    """Returns whether the room holds the prompt of a draft."""
    return self.count(draft.prompt) <= self.room

  def fill(
    self, build: Callable[[int], longbench.Draft], least: int, most: int
  ) -> longbench.Draft:
    """Returns the longest draft that the room holds.

    Cost: about five drafts, each tokenized as a whole, since tokens of parts need not
    add up to those of the text.

    Args:
      build: a size -> the draft of that size; tokens grow with the size.
      least: the smallest size that is a sample at all.
      most: the largest size.

    Raises:
      UserError: if even the smallest is too long; the message names the length that it
        needs.
    """

    def size(n: int) -> int:
      return self.count(build(n).prompt)

    first = size(least)
    if first > self.room:
      raise UserError(
        f"task {self._name!r} does not fit {self.length:,} tokens: its shortest prompt "
        f"has {first + 1:,}, and {self.max_tokens:,} are written: give --lengths of at "
        f"least {first + 1 + self.max_tokens:,}, or leave the task out"
      )
    return build(_largest(size, self.room, least, most, first))


def written(task: str, material: Material) -> int:
  """Returns how many tokens the model writes as its answer to a task."""
  max_tokens = longbench.tasks()[task].max_tokens
  return min(max_tokens, material.max_tokens or max_tokens)


def sample(task: str, length: int, seed: int, index: int, material: Material) -> Sample:
  """Draws the sample that these names and numbers identify.

  Raises:
    UserError: if the task does not fit the length, or the material is too short.
  """
  page = Page(task, length, seed, index, material)
  draft = longbench.tasks()[task].draw(page)
  tokens = 1 + page.count(draft.prompt)  # 1 is the EOS token
  return Sample(task, length, seed, index, draft, tokens, page.max_tokens)


def _largest(
  size: Callable[[int], int], room: int, least: int, most: int, first: int
) -> int:
  """Returns the largest n <= most with size(n) <= room: by slope, then by bisection."""
  low, low_size, high = least, first, most + 1
  slope, tries = 1.0, 0
  while low + 1 < high:
    # tokens grow almost linearly with the size, so few guesses by the slope suffice;
    # bisection bounds them where they do not
    guess = low + int((room - low_size) / slope) if tries < 8 else (low + high) // 2
    guess = min(max(guess, low + 1), high - 1)
    tokens = size(guess)
    # at least a little, or a size without tokens would make the next guess infinite
    slope = max((tokens - first) / (guess - least), 1e-3)
    if tokens <= room:
      low, low_size = guess, tokens
    else:
      high = guess
    tries += 1
  return low
