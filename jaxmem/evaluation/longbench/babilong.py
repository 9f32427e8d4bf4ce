"""Facts of a small world, spread through a long text, and a question about them.

Source: Kuratov et al. 2024, arXiv:2406.10149: bAbI's tasks 1 to 10 in background text.
The stories come from `world`, so numbers compare between models scored here; they do
not equal BABILong's.
"""

import functools
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from jaxmem.evaluation.longbench import Draft, LongbenchTask, haystack
from jaxmem.evaluation.longbench.metrics import label_match
from jaxmem.evaluation.longbench.page import Page
from jaxmem.evaluation.longbench.world import (
  COUNTS,
  PEOPLE,
  PLACES,
  SIDES,
  THINGS,
  Story,
  World,
)

GROUP = "babilong"
MAX_TOKENS = 16
# How many stories are drawn until one fits a short context.
TRIES = 50
_YES_NO = ("yes", "no")


def _until(draw: Callable[[np.random.Generator], Story | None]):
  """Draws stories until one of them allows the question."""

  @functools.wraps(draw)
  def story(rng: np.random.Generator) -> Story:
    while (result := draw(rng)) is None:
      pass
    return result

  return story


def _live(world: World, count: int, carrying: bool) -> None:
  """Lets `count` events happen: people move, and take and leave things."""
  for _ in range(count):
    act = world.pick((world.move, world.take, world.leave)) if carrying else world.move
    if act() is False:
      world.move()


def where_is_somebody(rng: np.random.Generator) -> Story:
  """Draws qa1: one supporting fact."""
  world = World(rng)
  _live(world, int(rng.integers(3, 9)), carrying=False)
  person = world.pick(list(world.place))
  return Story(world.facts, f"Where is {person}?", world.place[person])


@_until
def where_is_something(rng: np.random.Generator) -> Story | None:
  """Draws qa2: two supporting facts; a thing moves with the person who carries it."""
  world = World(rng)
  _live(world, int(rng.integers(5, 12)), carrying=True)
  moved = [item for item in THINGS if len(world.visits[item]) > 1]
  if not moved:
    return None
  item = world.pick(moved)
  return Story(world.facts, f"Where is the {item}?", world.visits[item][-1])


@_until
def where_was_something(rng: np.random.Generator) -> Story | None:
  """Draws qa3: three supporting facts; where a thing was before it came to a place."""
  world = World(rng)
  _live(world, int(rng.integers(7, 14)), carrying=True)
  cases = [
    (item, earlier, later)
    for item, visits in world.visits.items()
    for earlier, later in zip(visits, visits[1:], strict=False)
    if visits.count(later) == 1  # else the question has several answers
  ]
  if not cases:
    return None
  item, earlier, later = world.pick(cases)
  question = f"Where was the {item} before it was in the {later}?"
  return Story(world.facts, question, earlier)


def which_side(rng: np.random.Generator) -> Story:
  """Draws qa4: relations of two; three rooms along a line."""
  first, middle, last = rng.permutation(PLACES)[:3].tolist()
  side = str(rng.choice(list(SIDES)))
  facts = []
  for a, b in ((first, middle), (middle, last)):
    if rng.integers(2):
      facts.append(f"The {a} is {side} of the {b}.")
    else:
      facts.append(f"The {b} is {SIDES[side]} of the {a}.")
  facts = [facts[i] for i in rng.permutation(2)]  # the order must not tell the line
  if rng.integers(2):
    return Story(facts, f"What is {side} of the {middle}?", first)
  return Story(facts, f"What is the {middle} {side} of?", last)


@_until
def who_gave_what(rng: np.random.Generator) -> Story | None:
  """Draws qa5: relations of three."""
  world = World(rng)
  world.gather(3)
  for _ in range(int(rng.integers(4, 9))):
    if world.pick((world.give, world.give, world.take, world.move))() is False:
      world.take()
  if not world.gifts:
    return None
  # a question leaves out one of giver, thing and taker
  gift = world.pick(world.gifts)
  asks = {
    f"Who gave the {gift.thing} to {gift.taker}?": ("thing", "taker", "giver"),
    f"Who did {gift.giver} give the {gift.thing} to?": ("giver", "thing", "taker"),
    f"What did {gift.giver} give to {gift.taker}?": ("giver", "taker", "thing"),
  }
  question = world.pick(list(asks))
  *known_keys, asked_key = asks[question]
  alike = [
    g for g in world.gifts if all(getattr(g, k) == getattr(gift, k) for k in known_keys)
  ]
  if len({getattr(g, asked_key) for g in alike}) > 1:  # the question has two answers
    return None
  return Story(world.facts, question, getattr(gift, asked_key))


def is_somebody_there(rng: np.random.Generator) -> Story:
  """Draws qa6: yes or no."""
  world = World(rng)
  _live(world, int(rng.integers(3, 9)), carrying=False)
  person = world.pick(list(world.place))
  actual = world.place[person]
  queried = (
    actual if rng.integers(2) else world.pick([p for p in PLACES if p != actual])
  )
  return Story(world.facts, f"Is {person} in the {queried}?", _yes(queried == actual))


def _busy(rng: np.random.Generator) -> tuple[World, str]:
  """Returns a world in which people carry many things, and one of its people."""
  world = World(rng)
  world.gather(2)
  for _ in range(int(rng.integers(4, 10))):
    act = world.pick((world.take, world.take, world.give, world.leave, world.move))
    if act() is False:
      world.move()
  carriers = sorted(set(world.holder.values()))
  # two of three questions are about a person who carries something
  candidates = carriers if carriers and rng.integers(3) else list(world.place)
  return world, world.pick(candidates)


def how_many(rng: np.random.Generator) -> Story:
  """Draws qa7: how many things a person carries."""
  world, person = _busy(rng)
  question = f"How many things does {person} carry?"
  return Story(world.facts, question, COUNTS[len(world.held(person))])


def what_is_carried(rng: np.random.Generator) -> Story:
  """Draws qa8: which things a person carries."""
  world, person = _busy(rng)
  answer = ",".join(world.held(person)) or "nothing"
  return Story(world.facts, f"What does {person} carry?", answer)


def is_somebody_not_there(rng: np.random.Generator) -> Story:
  """Draws qa9: negation; the last statement about a person counts."""
  world, statements = World(rng), {}
  for _ in range(int(rng.integers(3, 8))):
    person, where = world.pick(PEOPLE), world.pick(PLACES)
    statements[person] = where, bool(rng.integers(3))
    world.facts.append(
      f"{person} is {'' if statements[person][1] else 'not '}in the {where}."
    )
  person = world.pick(list(statements))
  where, is_there = statements[person]
  if is_there and not rng.integers(4):  # so that half of the answers are no
    where, is_there = world.pick([p for p in PLACES if p != where]), False
  return Story(world.facts, f"Is {person} in the {where}?", _yes(is_there))


def may_somebody_be_there(rng: np.random.Generator) -> Story:
  """Draws qa10: indefinite knowledge; a person is in one of two rooms."""
  world, statements = World(rng), {}
  for _ in range(int(rng.integers(3, 8))):
    person = world.pick(PEOPLE)
    statements[person] = rng.permutation(PLACES)[: int(rng.integers(1, 3))].tolist()
    where = " or the ".join(statements[person])
    either = "either " if len(statements[person]) > 1 else ""
    world.facts.append(f"{person} is {either}in the {where}.")
  person = world.pick(list(statements))
  able = statements[person]
  if rng.integers(3):
    queried = world.pick(able)
    answer = "maybe" if len(able) > 1 else "yes"
  else:
    queried, answer = world.pick([p for p in PLACES if p not in able]), "no"
  return Story(world.facts, f"Is {person} in the {queried}?", answer)


def _yes(true: bool) -> str:
  return "yes" if true else "no"


STORIES = {
  "qa1": (where_is_somebody, PLACES, "Say in which place somebody is now."),
  "qa2": (where_is_something, PLACES, "Say in which place a thing is now."),
  "qa3": (where_was_something, PLACES, "Say in which place a thing was before."),
  "qa4": (which_side, PLACES, "Say how the places lie."),
  "qa5": (who_gave_what, PEOPLE + THINGS, "Say who gave what to whom."),
  "qa6": (is_somebody_there, _YES_NO, "Answer yes or no."),
  "qa7": (how_many, COUNTS, "Answer none, one, two or three."),
  "qa8": (what_is_carried, (*THINGS, "nothing"), "Name all things, or say nothing."),
  "qa9": (is_somebody_not_there, _YES_NO, "Answer yes or no."),
  "qa10": (may_somebody_be_there, (*_YES_NO, "maybe"), "Answer yes, no or maybe."),
}


def _draw(name: str, page: Page) -> Draft:
  tell, _, instruction = STORIES[name]
  # the examples are the same in every sample
  example_rng = np.random.default_rng(zlib.crc32(name.encode()))
  head = (
    "Facts about people, places and things stand in a longer text. Answer the question "
    f"from the facts alone; later facts count. {instruction}\n\n"
    + "\n\n".join(
      _block("Example", " ".join(s.facts), s) for s in _unlike(tell, example_rng)
    )
    + "\n\n"
  )
  text = page.material.haystack.text(page.rng, page.room)

  def build(count: int) -> Draft:
    block = _block("Text", haystack.put(text, count, needles), story)
    prompt = head + block.removesuffix(f" {story.answer}.")
    return Draft(prompt, (story.answer,), story.question)

  # the first story that fits; if none does, `fill` reports the length of the last one
  for _ in range(TRIES):
    story = tell(page.rng)
    depths = sorted(page.rng.uniform(size=len(story.facts)).tolist())
    needles = list(zip(depths, story.facts, strict=True))
    if page.fits(build(0)):
      break
  return page.fill(build, 0, len(text.words))


def _unlike(tell, rng: np.random.Generator) -> Iterable[Story]:
  """Returns two short stories with different answers."""
  first = _short(tell, rng)
  second = _short(tell, rng)
  while second.answer == first.answer:
    second = _short(tell, rng)
  return first, second


def _short(tell, rng: np.random.Generator) -> Story:
  # examples take room from the text, so short ones are chosen
  return min((tell(rng) for _ in range(8)), key=lambda story: len(story.facts))


def _block(title: str, text: str, story: Story) -> str:
  return f"{title}: {text}\nQuestion: {story.question}\nAnswer: {story.answer}."


TASKS = {
  f"babilong_{name}": LongbenchTask(
    functools.partial(_draw, name),
    MAX_TOKENS,
    functools.partial(label_match, labels=labels),
  )
  for name, (_, labels, _) in STORIES.items()
}
