"""Needles in a haystack: sentences that give a name its number, hidden in long text.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 and table 2; the numbers of keys,
values and queries are those of its `synthetic.yaml`, the words are ours.
"""

import functools
import itertools
from typing import NamedTuple

from jaxmem.evaluation.longbench import Draft, LongbenchTask, haystack, wordlists
from jaxmem.evaluation.longbench.metrics import string_match_all
from jaxmem.evaluation.longbench.page import Page

GROUP = "ruler"
MAX_TOKENS = 128

_MAKERS = {
  "words": wordlists.names,
  "numbers": wordlists.numbers,
  "uuids": wordlists.uuids,
}


class Kind(NamedTuple):
  """The haystack of a task, and its needles.

  Attributes:
    hay: "drone", the same sentences repeated; "text", the source; or "needles", as many
      distracting needles as the context holds.
    key: the kind of the keys: "words" or "uuids".
    value: the kind of the values: "numbers" or "uuids".
    keys: how many different keys the text has, queried ones included.
    values: how many values each key has.
    queries: how many keys the question asks for.
  """

  hay: str
  key: str = "words"
  value: str = "numbers"
  keys: int = 1
  values: int = 1
  queries: int = 1


KINDS = {
  "niah_single_1": Kind("drone"),
  "niah_single_2": Kind("text"),
  "niah_single_3": Kind("text", value="uuids"),
  "niah_multikey_1": Kind("text", keys=4),
  "niah_multikey_2": Kind("needles"),
  "niah_multikey_3": Kind("needles", key="uuids", value="uuids"),
  "niah_multivalue": Kind("text", values=4),
  "niah_multiquery": Kind("text", keys=4, queries=4),
}


def needle(kind: Kind, key: str, value: str) -> str:
  """Returns the sentence that gives a key its value."""
  return f"A special magic {kind.value[:-1]} of {key} is {value}."


def _draw(kind: Kind, page: Page) -> Draft:
  rng, noun = page.rng, kind.value[:-1]
  # endless iterators of distinct words: needles and distractors share none
  keys, values = _MAKERS[kind.key](rng), _MAKERS[kind.value](rng)
  needle_keys = list(itertools.islice(keys, kind.keys))
  values_of = {key: list(itertools.islice(values, kind.values)) for key in needle_keys}
  queries = needle_keys[: kind.queries]
  needles = [
    (float(rng.uniform()), needle(kind, key, value))
    for key, key_values in values_of.items()
    for value in key_values
  ]
  if kind.hay == "text":
    text = page.material.haystack.text(rng, page.room)
  elif kind.hay == "drone":
    text = haystack.drone(page.room)
  else:
    # more distractors than the room holds are drawn, whatever the tokenizer
    shortest = page.count(needle(kind, "a", "1"))
    pairs = zip(keys, values, strict=False)
    distractors = itertools.islice(pairs, max(page.room // shortest, 1))
    text = haystack.listing([needle(kind, key, value) for key, value in distractors])
  is_single = len(queries) * kind.values == 1  # a single answer decides the grammar
  names = ", ".join(queries[:-1]) + " and " * (len(queries) > 1) + queries[-1]
  verb, plural = ("is", "") if is_single else ("are", "s")

  def build(count: int) -> Draft:
    prompt = (
      f"Some special magic {noun}s stand in the text below. Remember them, since a "
      f"question about them follows.\n\n{haystack.put(text, count, needles)}\n\n"
      f"Question: What {verb} the special magic {noun}{plural} of {names} in the text "
      f"above?\nAnswer: The special magic {noun}{plural} of {names} {verb}"
    )
    answers = tuple(value for key in queries for value in values_of[key])
    return Draft(prompt, answers, depth=needles[0][0] if len(needles) == 1 else None)

  return page.fill(build, 0, len(text.words))


TASKS = {
  name: LongbenchTask(functools.partial(_draw, kind), MAX_TOKENS, string_match_all)
  for name, kind in KINDS.items()
}
