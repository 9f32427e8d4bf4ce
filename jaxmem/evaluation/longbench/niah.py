"""Needles in a haystack: numbers or codes that belong to names, hidden in long text.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 and table 2; the numbers of keys,
values and queries are those of its `synthetic.yaml`, the words are ours.
"""

import functools
import itertools
from typing import NamedTuple

from jaxmem.evaluation.longbench import Draft, Task, haystack, wordlists
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
  """What is hidden in what.

  Attributes:
    hay: "drone", the same sentences again and again; "text", the source; or "needles",
      as many other needles as the context holds.
    key: what a needle is asked by: "words" or "uuids".
    value: what it holds: "numbers" or "uuids".
    keys: different ones in the text, the asked ones included.
    values: of each key.
    queries: keys that are asked for.
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
  """The sentence that holds a value."""
  return f"A special magic {kind.value[:-1]} of {key} is {value}."


def _draw(kind: Kind, page: Page) -> Draft:
  rng, what = page.rng, kind.value[:-1]
  keys, values = _MAKERS[kind.key](rng), _MAKERS[kind.value](rng)
  own = list(itertools.islice(keys, kind.keys))
  held = {key: list(itertools.islice(values, kind.values)) for key in own}
  asked = own[: kind.queries]
  things = [
    (float(rng.uniform()), needle(kind, key, value))
    for key, its in held.items()
    for value in its
  ]
  if kind.hay == "text":
    text = page.material.haystack.text(rng, page.room)
  elif kind.hay == "drone":
    text = haystack.drone(page.room)
  else:
    shortest = page.count(needle(kind, "a", "1"))
    pairs = zip(keys, values, strict=False)
    others = itertools.islice(pairs, max(page.room // shortest, 1))
    text = haystack.listing([needle(kind, *pair) for pair in others])
  one = len(asked) * kind.values == 1
  names = ", ".join(asked[:-1]) + " and " * (len(asked) > 1) + asked[-1]
  verb, plural = ("is", "") if one else ("are", "s")

  def build(count: int) -> Draft:
    prompt = (
      f"Some special magic {what}s stand in the text below. Remember them, since a "
      f"question about them follows.\n\n{haystack.put(text, count, things)}\n\n"
      f"Question: What {verb} the special magic {what}{plural} of {names} in the text "
      f"above?\nAnswer: The special magic {what}{plural} of {names} {verb}"
    )
    answers = tuple(value for key in asked for value in held[key])
    return Draft(prompt, answers, depth=things[0][0] if len(things) == 1 else None)

  return page.fill(build, 0, len(text.words))


TASKS = {
  name: Task(functools.partial(_draw, kind), MAX_TOKENS, string_match_all)
  for name, kind in KINDS.items()
}
