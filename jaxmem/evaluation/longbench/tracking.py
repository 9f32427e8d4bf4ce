"""Variables that are assigned each other: which of them hold a number?

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (variable tracking): one chain of
four hops in a drone, with one short example before it.
"""

import string

import numpy as np

from jaxmem.evaluation.longbench import Draft, LongbenchTask, haystack
from jaxmem.evaluation.longbench.metrics import string_match_all
from jaxmem.evaluation.longbench.page import Page

GROUP = "ruler"
MAX_TOKENS = 30
HOPS = 4
NAME_LENGTH = 5


def chain(rng: np.random.Generator, used: set[str]) -> tuple[list[str], str]:
  """Draws the names of a chain, in the order of their statements, and its number."""
  names: list[str] = []
  while len(names) <= HOPS:
    letters = rng.choice(list(string.ascii_uppercase), NAME_LENGTH)
    name = "".join(letters)
    if name not in used:
      used.add(name)
      names.append(name)
  return names, str(rng.integers(10_000, 100_000))


def statements(names: list[str], number: str) -> list[str]:
  """Returns the assignments: the first of the number, the others of the one before."""
  values = [number, *(f"VAR {name}" for name in names)]
  return [f"VAR {a} = {b}." for a, b in zip(names, values, strict=False)]


def _block(text: str, number: str) -> str:
  return (
    f"Follow the values of the variables in this text.\n\n{text}\n\nQuestion: Which "
    f"variables hold the value {number} in the text above?\nAnswer: The {HOPS + 1} "
    f"variables that hold the value {number} are"
  )


def _draw(page: Page) -> Draft:
  rng, used = page.rng, set()
  example_names, example_number = chain(rng, used)
  names, number = chain(rng, used)  # no variable of the example occurs again
  short = haystack.drone(len(haystack.DRONE.split()))
  spread = [i / HOPS for i in range(HOPS + 1)]
  example = haystack.put(
    short,
    len(short.words),
    list(zip(spread, statements(example_names, example_number), strict=True)),
  )
  example = f"{_block(example, example_number)} {', '.join(example_names)}.\n\n"
  text = haystack.drone(page.room)  # `fill` cuts it to the room
  # sorted, since a variable has to be assigned before it is used
  depths = sorted(rng.uniform(size=HOPS + 1).tolist())
  needles = list(zip(depths, statements(names, number), strict=True))

  def build(count: int) -> Draft:
    block = _block(haystack.put(text, count, needles), number)
    return Draft(example + block, tuple(names))

  return page.fill(build, 0, len(text.words))


TASKS = {"vt": LongbenchTask(_draw, MAX_TOKENS, string_match_all)}
