"""Keys and values of needles: words, numbers and UUIDs, each of them different."""

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
  """Yields names such as `calm-otter`, none twice; three words once pairs run out."""
  used: set[str] = set()
  for num_drawn in itertools.count():
    # a quarter of all pairs leaves enough free ones that few draws collide
    adjectives = 1 + (num_drawn > len(ADJECTIVES) * len(NOUNS) // 4)
    name = ""
    while not name or name in used:  # collisions are drawn again
      first = [ADJECTIVES[i] for i in rng.integers(len(ADJECTIVES), size=adjectives)]
      name = "-".join([*first, NOUNS[rng.integers(len(NOUNS))]])
    used.add(name)
    yield name


def numbers(rng: np.random.Generator) -> Iterator[str]:
  """Yields numbers of seven digits, none twice."""
  used: set[int] = set()
  while True:
    number = int(rng.integers(1_000_000, 10_000_000))
    if number not in used:
      used.add(number)
      yield str(number)


def uuids(rng: np.random.Generator) -> Iterator[str]:
  """Yields random UUIDs."""
  while True:
    yield str(uuid.UUID(bytes=rng.bytes(16), version=4))
