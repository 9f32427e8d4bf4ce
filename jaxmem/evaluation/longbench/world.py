"""A small world: people walk, take, leave and give things, and somebody takes notes.

What bAbI's tasks 1 to 10 are about (Weston et al. 2015, arXiv:1502.05698), in a grammar
of our own. Every story knows its answer because it was lived, not read.
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
  """What happened, what is asked, and the answer; several answers have commas."""

  facts: list[str]
  question: str
  answer: str


class Gift(NamedTuple):
  """Who gave what to whom."""

  giver: str
  thing: str
  taker: str


class World:
  """Where everybody and everything is.

  Attributes:
    facts: sentences, in the order of what happened.
    place: person -> where, for those that have been seen.
    holder: thing -> who carries it.
    visits: thing -> the places where it has been, in order.
    gifts: all that was given, in order.
  """

  def __init__(self, rng: np.random.Generator):
    self._rng = rng
    self.facts: list[str] = []
    self.place: dict[str, str] = {}
    self.holder: dict[str, str] = {}
    self.visits: dict[str, list[str]] = {thing: [] for thing in THINGS}
    self.gifts: list[Gift] = []

  def pick(self, some):
    """One of some, evenly."""
    return some[self._rng.integers(len(some))]

  def held(self, person: str) -> list[str]:
    """What a person carries, in the order of taking."""
    return [thing for thing, who in self.holder.items() if who == person]

  def move(self) -> None:
    """Somebody goes to a place where they are not."""
    person = self.pick(PEOPLE)
    self._go(person, self.pick([p for p in PLACES if p != self.place.get(person)]))

  def gather(self, count: int) -> None:
    """`count` people go to one place."""
    where = self.pick(PLACES)
    for person in self._rng.permutation(PEOPLE)[:count].tolist():
      self._go(person, where)

  def _go(self, person: str, to: str) -> None:
    self.place[person] = to
    for thing in self.held(person):
      self.visits[thing].append(to)
    self.facts.append(f"{person} {self.pick(_GO)} the {to}.")

  def take(self) -> bool:
    """Somebody takes a thing that lies where they are; False if nobody can."""
    can = [
      (person, thing)
      for person, here in self.place.items()
      for thing in THINGS
      if thing not in self.holder and (self.visits[thing] or [here])[-1] == here
    ]
    if not can:
      return False
    person, thing = self.pick(can)
    self.visits[thing] = self.visits[thing] or [self.place[person]]
    self.holder[thing] = person
    self.facts.append(f"{person} {self.pick(_TAKE)} the {thing}.")
    return True

  def leave(self) -> bool:
    """Somebody leaves a thing where they are; False if nobody carries any."""
    if not self.holder:
      return False
    thing = self.pick(list(self.holder))
    person = self.holder.pop(thing)
    self.facts.append(f"{person} {self.pick(_LEAVE)} the {thing}.")
    return True

  def give(self) -> bool:
    """Somebody gives a thing to somebody at the same place; False if nobody can."""
    can = [
      Gift(giver, thing, taker)
      for thing, giver in self.holder.items()
      for taker, here in self.place.items()
      if taker != giver and here == self.place[giver]
    ]
    if not can:
      return False
    gift = self.pick(can)
    del self.holder[gift.thing]
    self.holder[gift.thing] = gift.taker
    self.gifts.append(gift)
    verb = self.pick(_GIVE)
    self.facts.append(f"{gift.giver} {verb} the {gift.thing} to {gift.taker}.")
    return True
