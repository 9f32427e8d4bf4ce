"""Facts of a small world, spread through a long text, and a question about them.

Source: Kuratov et al. 2024, arXiv:2406.10149: bAbI's tasks 1 to 10 in background text.
The stories are ours (see `world`), so numbers compare between models read here, and
with BABILong's in kind only.
"""

import functools
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from jaxmem.evaluation.longbench import Draft, Task, haystack
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
# stories that are told until one fits a short context
TRIES = 50
_YES_NO = ("yes", "no")


def _until(draw: Callable[[np.random.Generator], Story | None]):
  """Lives stories until one can be asked about."""

  @functools.wraps(draw)
  def story(rng: np.random.Generator) -> Story:
    while (found := draw(rng)) is None:
      pass
    return found

  return story


def _live(world: World, count: int, carrying: bool) -> None:
  """`count` things happen: people move, and take and leave things."""
  for _ in range(count):
    act = world.pick((world.move, world.take, world.leave)) if carrying else world.move
    if act() is False:
      world.move()


def where_is_somebody(rng: np.random.Generator) -> Story:
  """qa1: one supporting fact."""
  world = World(rng)
  _live(world, int(rng.integers(3, 9)), carrying=False)
  who = world.pick(list(world.place))
  return Story(world.facts, f"Where is {who}?", world.place[who])


@_until
def where_is_something(rng: np.random.Generator) -> Story | None:
  """qa2: two supporting facts; a thing goes where its carrier goes."""
  world = World(rng)
  _live(world, int(rng.integers(5, 12)), carrying=True)
  moved = [thing for thing in THINGS if len(world.visits[thing]) > 1]
  if not moved:
    return None
  thing = world.pick(moved)
  return Story(world.facts, f"Where is the {thing}?", world.visits[thing][-1])


@_until
def where_was_something(rng: np.random.Generator) -> Story | None:
  """qa3: three supporting facts; where a thing was before it came to a place."""
  world = World(rng)
  _live(world, int(rng.integers(7, 14)), carrying=True)
  cases = [
    (thing, before, after)
    for thing, visits in world.visits.items()
    for before, after in zip(visits, visits[1:], strict=False)
    if visits.count(after) == 1
  ]
  if not cases:
    return None
  thing, before, after = world.pick(cases)
  question = f"Where was the {thing} before it was in the {after}?"
  return Story(world.facts, question, before)


def which_side(rng: np.random.Generator) -> Story:
  """qa4: relations of two; three places along a line."""
  first, middle, last = rng.permutation(PLACES)[:3].tolist()
  side = str(rng.choice(list(SIDES)))
  facts = []
  for a, b in ((first, middle), (middle, last)):
    if rng.integers(2):
      facts.append(f"The {a} is {side} of the {b}.")
    else:
      facts.append(f"The {b} is {SIDES[side]} of the {a}.")
  facts = [facts[i] for i in rng.permutation(2)]
  if rng.integers(2):
    return Story(facts, f"What is {side} of the {middle}?", first)
  return Story(facts, f"What is the {middle} {side} of?", last)


@_until
def who_gave_what(rng: np.random.Generator) -> Story | None:
  """qa5: relations of three."""
  world = World(rng)
  world.gather(3)
  for _ in range(int(rng.integers(4, 9))):
    if world.pick((world.give, world.give, world.take, world.move))() is False:
      world.take()
  if not world.gifts:
    return None
  gift = world.pick(world.gifts)
  asks = {
    f"Who gave the {gift.thing} to {gift.taker}?": ("thing", "taker", "giver"),
    f"Who did {gift.giver} give the {gift.thing} to?": ("giver", "thing", "taker"),
    f"What did {gift.giver} give to {gift.taker}?": ("giver", "taker", "thing"),
  }
  question = world.pick(list(asks))
  *known, asked = asks[question]
  of = lambda gift: [getattr(gift, key) for key in known]
  if len({getattr(g, asked) for g in world.gifts if of(g) == of(gift)}) > 1:
    return None
  return Story(world.facts, question, getattr(gift, asked))


def is_somebody_there(rng: np.random.Generator) -> Story:
  """qa6: yes or no."""
  world = World(rng)
  _live(world, int(rng.integers(3, 9)), carrying=False)
  who = world.pick(list(world.place))
  there = world.place[who]
  asked = there if rng.integers(2) else world.pick([p for p in PLACES if p != there])
  return Story(world.facts, f"Is {who} in the {asked}?", _yes(asked == there))


def _busy(rng: np.random.Generator) -> tuple[World, str]:
  """A world in which much is carried, and somebody who has been seen there."""
  world = World(rng)
  world.gather(2)
  for _ in range(int(rng.integers(4, 10))):
    act = world.pick((world.take, world.take, world.give, world.leave, world.move))
    if act() is False:
      world.move()
  carriers = sorted(set(world.holder.values()))
  # of two in three it is known that they carry something
  some = carriers if carriers and rng.integers(3) else list(world.place)
  return world, world.pick(some)


def how_many(rng: np.random.Generator) -> Story:
  """qa7: counting what is carried."""
  world, who = _busy(rng)
  question = f"How many things does {who} carry?"
  return Story(world.facts, question, COUNTS[len(world.held(who))])


def what_is_carried(rng: np.random.Generator) -> Story:
  """qa8: lists."""
  world, who = _busy(rng)
  answer = ",".join(world.held(who)) or "nothing"
  return Story(world.facts, f"What does {who} carry?", answer)


def is_somebody_not_there(rng: np.random.Generator) -> Story:
  """qa9: negation; the last that is said of somebody counts."""
  world, told = World(rng), {}
  for _ in range(int(rng.integers(3, 8))):
    who, where = world.pick(PEOPLE), world.pick(PLACES)
    told[who] = where, bool(rng.integers(3))
    world.facts.append(f"{who} is {'' if told[who][1] else 'not '}in the {where}.")
  who = world.pick(list(told))
  where, there = told[who]
  if there and not rng.integers(4):  # so that half of the answers are no
    where, there = world.pick([p for p in PLACES if p != where]), False
  return Story(world.facts, f"Is {who} in the {where}?", _yes(there))


def may_somebody_be_there(rng: np.random.Generator) -> Story:
  """qa10: indefinite knowledge; either here or there."""
  world, told = World(rng), {}
  for _ in range(int(rng.integers(3, 8))):
    who = world.pick(PEOPLE)
    told[who] = rng.permutation(PLACES)[: int(rng.integers(1, 3))].tolist()
    where = " or the ".join(told[who])
    either = "either " if len(told[who]) > 1 else ""
    world.facts.append(f"{who} is {either}in the {where}.")
  who = world.pick(list(told))
  able = told[who]
  if rng.integers(3):
    asked = world.pick(able)
    answer = "maybe" if len(able) > 1 else "yes"
  else:
    asked, answer = world.pick([p for p in PLACES if p not in able]), "no"
  return Story(world.facts, f"Is {who} in the {asked}?", answer)


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
  # what is shown is the same in every sample
  shown = np.random.default_rng(zlib.crc32(name.encode()))
  head = (
    "Facts about people, places and things stand in a longer text. Answer the question "
    f"from the facts alone; later facts count. {instruction}\n\n"
    + "\n\n".join(_block("Example", " ".join(s.facts), s) for s in _unlike(tell, shown))
    + "\n\n"
  )
  text = page.material.haystack.text(page.rng, page.room)

  def build(count: int) -> Draft:
    block = _block("Text", haystack.put(text, count, things), story)
    prompt = head + block.removesuffix(f" {story.answer}.")
    return Draft(prompt, (story.answer,), story.question)

  # the first of some that fits; where none does, `fill` says what the last one needs
  for _ in range(TRIES):
    story = tell(page.rng)
    places = sorted(page.rng.uniform(size=len(story.facts)).tolist())
    things = list(zip(places, story.facts, strict=True))
    if page.fits(build(0)):
      break
  return page.fill(build, 0, len(text.words))


def _unlike(tell, rng: np.random.Generator) -> Iterable[Story]:
  """Two short stories with different answers."""
  first = _short(tell, rng)
  second = _short(tell, rng)
  while second.answer == first.answer:
    second = _short(tell, rng)
  return first, second


def _short(tell, rng: np.random.Generator) -> Story:
  return min((tell(rng) for _ in range(8)), key=lambda story: len(story.facts))


def _block(title: str, text: str, story: Story) -> str:
  return f"{title}: {text}\nQuestion: {story.question}\nAnswer: {story.answer}."


TASKS = {
  f"babilong_{name}": Task(
    functools.partial(_draw, name),
    MAX_TOKENS,
    functools.partial(label_match, labels=labels),
  )
  for name, (_, labels, _) in STORIES.items()
}
