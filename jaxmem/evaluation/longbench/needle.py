"""A pass key among repeated sentences, and one sentence at every depth of a text.

Source: Mohtashami and Jaggi 2023, arXiv:2305.16300, section 4.2 (pass key); the grid of
depth and length is Kamradt's "needle in a haystack", 2023, with a word to be found, so
that the answer is right or wrong without a judge.
"""

import numpy as np

from jaxmem.evaluation.longbench import Draft, LongbenchTask, haystack, wordlists
from jaxmem.evaluation.longbench.metrics import exact_match
from jaxmem.evaluation.longbench.page import Page

GROUP = "grid"
MAX_TOKENS = 24


def depths(count: int) -> list[float]:
  """Returns the depths of the grid: from the beginning, 0, to the end, 1."""
  return np.linspace(0, 1, count).round(4).tolist()


def _passkey(page: Page) -> Draft:
  key, depth = str(page.rng.integers(10_000, 100_000)), float(page.rng.uniform())
  text = haystack.drone(page.room)  # `fill` cuts it to the room
  needle = f"The pass key is {key}. Keep it in mind: {key} is the pass key."

  def build(count: int) -> Draft:
    prompt = (
      "Somewhere in a text that does not matter stands a pass key. Find it and keep it "
      f"in mind.\n\n{haystack.put(text, count, [(depth, needle)])}\n\n"
      "What is the pass key? The pass key is"
    )
    return Draft(prompt, (key,), depth=depth)

  return page.fill(build, 0, len(text.words))


def _needle(page: Page) -> Draft:
  # samples take the depths in turn, so that each has as many
  grid = depths(page.material.depths)
  depth = grid[page.index % len(grid)]
  word = next(wordlists.names(page.rng))
  text = page.material.haystack.text(page.rng, page.room)
  needle = f"The watchword of the old lighthouse is {word}."

  def build(count: int) -> Draft:
    prompt = (
      f"{haystack.put(text, count, [(depth, needle)])}\n\nQuestion: What is the "
      "watchword of the old lighthouse, by the text above?\nAnswer: The watchword of "
      "the old lighthouse is"
    )
    return Draft(prompt, (word,), depth=depth)

  return page.fill(build, 0, len(text.words))


TASKS = {
  "passkey": LongbenchTask(_passkey, MAX_TOKENS, exact_match),
  "needle": LongbenchTask(_needle, MAX_TOKENS, exact_match),
}
