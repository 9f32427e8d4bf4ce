"""A small world whose people walk, and take, leave and give things.

It has the events of bAbI's tasks 1 to 10 (Weston et al. 2015, arXiv:1502.05698), with
sentences of its own. The world is simulated, so the answer of a story is known.
"""

from typing import NamedTuple

import numpy as np

PEOPLE = ("Anna", "Boris", "Clara", "David")
PLACES = ("attic", "cellar", "garage", "library", "market", "stable")
THINGS = ("compass", "kettle", "lantern")
COUNTS = ("none", "one", "two", "three")
SIDES = {"north": "south", "south": "north", "east": "west", "west": "east"}

_GO = ("walked to", "went to", "hurried to", "came to")
_TAKE = ("took", "picked up", "grabbed")
_LEAVE = ("left", "put down", "dropped")
_GIVE = ("gave", "handed", "passed")


class Story(NamedTuple):
  """Facts, a question about them, and its answer; several answers have commas."""

  facts: list[str]
  question: str
  answer: str


class Gift(NamedTuple):
  """One event: a person gives a thing to another."""

  giver: str
  thing: str
  taker: str


class World:
  """The state of the world, and the sentences about its events so far.

  Attributes:
    facts: sentences, in the order of the events.
    place: person -> where they are; a person who has not moved yet is nowhere.
    holder: thing -> who carries it.
    visits: thing -> the places where it has been, in order.
    gifts: all gifts, in order.
  """

  def __init__(self, rng: np.random.Generator):
    self._rng = rng
    self.facts: list[str] = []
    self.place: dict[str, str] = {}
    self.holder: dict[str, str] = {}
    self.visits: dict[str, list[str]] = {thing: [] for thing in THINGS}
    self.gifts: list[Gift] = []

  def pick(self, items):
    """Draws one of the items, all equally likely."""
    return items[self._rng.integers(len(items))]

  def held(self, person: str) -> list[str]:
    """Returns the things that a person carries, in the order of taking."""
    return [thing for thing, holder in self.holder.items() if holder == person]

  def move(self) -> None:
    """Moves a person to another place."""
    person = self.pick(PEOPLE)
    self._go(person, self.pick([p for p in PLACES if p != self.place.get(person)]))

  def gather(self, count: int) -> None:
    """Moves `count` people to one place."""
    where = self.pick(PLACES)
    # gifts need two people at one place, which rarely happens by chance
    for person in self._rng.permutation(PEOPLE)[:count].tolist():
      self._go(person, where)

  def _go(self, person: str, to: str) -> None:
    self.place[person] = to
    for thing in self.held(person):  # things move with the person who carries them
      self.visits[thing].append(to)
    self.facts.append(f"{person} {self.pick(_GO)} the {to}.")

  def take(self) -> bool:
    """Lets a person take a thing at their place; returns False if nobody can."""
    pairs = [
      (person, thing)
      for person, place in self.place.items()
      for thing in THINGS
      # a thing that nobody has touched yet is wherever it is first taken
      if thing not in self.holder and (self.visits[thing] or [place])[-1] == place
    ]
    if not pairs:
      return False
    person, thing = self.pick(pairs)
    # the first visit of a thing is the place where it is first taken
    self.visits[thing] = self.visits[thing] or [self.place[person]]
    self.holder[thing] = person
    self.facts.append(f"{person} {self.pick(_TAKE)} the {thing}.")
    return True

  def leave(self) -> bool:
    """Lets a person put down a thing; returns False if nobody carries any."""
    if not self.holder:
      return False
    thing = self.pick(list(self.holder))
    person = self.holder.pop(thing)
    self.facts.append(f"{person} {self.pick(_LEAVE)} the {thing}.")
    return True

  def give(self) -> bool:
    """Lets a person give a thing to another beside them; returns False if none can."""
    gifts = [
      Gift(giver, thing, taker)
      for thing, giver in self.holder.items()
      for taker, place in self.place.items()
      if taker != giver and place == self.place[giver]
    ]
    if not gifts:
      return False
    gift = self.pick(gifts)
    del self.holder[gift.thing]  # so that the order of taking is that of the dict
    self.holder[gift.thing] = gift.taker
    self.gifts.append(gift)
    verb = self.pick(_GIVE)
    self.facts.append(f"{gift.giver} {verb} the {gift.thing} to {gift.taker}.")
    return True
