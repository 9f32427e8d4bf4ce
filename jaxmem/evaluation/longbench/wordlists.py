"""Words that things are called by; many different ones, from two short lists."""

import itertools
import uuid
from collections.abc import Iterator

import numpy as np

ADJECTIVES = """
amber ancient autumn bitter blunt bold brave brisk broken busy calm careful clever cold
copper crimson curious damp daring dusty early eastern empty fancy fierce floral foggy
frozen gentle giant golden grand green happy hasty hidden hollow honest humble icy idle
jolly keen large lively lonely loud lucky merry misty modern narrow noble northern odd
pale patient plain polite proud quick quiet rapid rough round royal rusty salty scarlet
sharp shiny silent silver simple sleepy slender small smooth snowy solid southern spare
steady stormy strange sturdy sunny swift tall tender thirsty tidy tiny twisted violet
warm western wild windy wise wooden woolly yellow young
""".split()

NOUNS = """
acorn anchor anvil apron badger banjo barge barrel basket beacon beetle bellows
bishop blanket bonnet bottle bramble bridge bucket butter button cabin candle canoe
canyon carpet castle cellar chapel cherry chimney clarinet cobbler comet cottage cradle
cricket crystal curtain daisy desert dolphin donkey drawer eagle falcon feather ferry
fiddle flute forest fountain fox garden garlic glacier goblet gravel hammer harbor
harvest hedge helmet heron hinge honey island ivory jacket jasmine juniper kettle kite
ladder lagoon lantern lemon lily lizard lobster magnet maple marble meadow mirror mitten
monk mountain mushroom needle nutmeg orchard otter oyster paddle parrot pebble pepper
pigeon pillow planet pocket prairie pumpkin puppet quarry quilt rabbit raven ribbon
saddle sailor sandal satchel saucer sparrow spider squirrel teapot temple thimble
thunder ticket tiger timber tulip tunnel turnip turtle valley velvet village violin
walnut walrus weasel whistle willow window winter wizard zebra
""".split()


def names(rng: np.random.Generator) -> Iterator[str]:
  """Names such as `calm-otter`, none twice; of three words where two run out."""
  seen: set[str] = set()
  for drawn in itertools.count():
    adjectives = 1 + (drawn > len(ADJECTIVES) * len(NOUNS) // 4)
    name = ""
    while not name or name in seen:
      first = [ADJECTIVES[i] for i in rng.integers(len(ADJECTIVES), size=adjectives)]
      name = "-".join([*first, NOUNS[rng.integers(len(NOUNS))]])
    seen.add(name)
    yield name


def numbers(rng: np.random.Generator) -> Iterator[str]:
  """Numbers of seven digits, none twice."""
  seen: set[int] = set()
  while True:
    number = int(rng.integers(1_000_000, 10_000_000))
    if number not in seen:
      seen.add(number)
      yield str(number)


def uuids(rng: np.random.Generator) -> Iterator[str]:
  """Random UUIDs."""
  while True:
    yield str(uuid.UUID(bytes=rng.bytes(16), version=4))
