"""Variables that are given each other's value: which of them hold a number?

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (variable tracking): one chain of
four hops in a drone, with one short example before it.
"""

import string

import numpy as np

from jaxmem.evaluation.longbench import Draft, Task, haystack
from jaxmem.evaluation.longbench.metrics import string_match_all
from jaxmem.evaluation.longbench.page import Page

GROUP = "ruler"
MAX_TOKENS = 30
HOPS = 4
NAME_LENGTH = 5


def chain(rng: np.random.Generator, taken: set[str]) -> tuple[list[str], str]:
  """Names of a chain, in the order of their statements, and the number."""
  names: list[str] = []
  while len(names) <= HOPS:
    letters = rng.choice(list(string.ascii_uppercase), NAME_LENGTH)
    name = "".join(letters)
    if name not in taken:
      taken.add(name)
      names.append(name)
  return names, str(rng.integers(10_000, 100_000))


def statements(names: list[str], number: str) -> list[str]:
  """The first holds the number, each of the others the one before it."""
  given = [number, *(f"VAR {name}" for name in names)]
  return [f"VAR {a} = {b}." for a, b in zip(names, given, strict=False)]


def _block(text: str, number: str) -> str:
  return (
    f"Follow the values of the variables in this text.\n\n{text}\n\nQuestion: Which "
    f"variables hold the value {number} in the text above?\nAnswer: The {HOPS + 1} "
    f"variables that hold the value {number} are"
  )


def _draw(page: Page) -> Draft:
  rng, taken = page.rng, set()
  shown, shown_number = chain(rng, taken)
  names, number = chain(rng, taken)
  short = haystack.drone(len(haystack.DRONE.split()))
  spread = [i / HOPS for i in range(HOPS + 1)]
  example = haystack.put(
    short,
    len(short.words),
    list(zip(spread, statements(shown, shown_number), strict=True)),
  )
  example = f"{_block(example, shown_number)} {', '.join(shown)}.\n\n"
  text = haystack.drone(page.room)
  places = sorted(rng.uniform(size=HOPS + 1).tolist())
  things = list(zip(places, statements(names, number), strict=True))

  def build(count: int) -> Draft:
    block = _block(haystack.put(text, count, things), number)
    return Draft(example + block, tuple(names))

  return page.fill(build, 0, len(text.words))


TASKS = {"vt": Task(_draw, MAX_TOKENS, string_match_all)}
