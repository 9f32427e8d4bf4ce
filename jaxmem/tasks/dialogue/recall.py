"""Two speakers: one tells what things are called, and asks later, among other talk.

    user: my cat is called Momo.
    assistant: ok.
    user: it rained all night.
    assistant: ok.
    user: what is my cat called?
    assistant: Momo

Every answer stands in an earlier turn and nowhere else, so a model that forgets between
turns can but guess one of `NAMES`.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from jaxmem.core.ranges import Range, check_number
from jaxmem.tasks.dialogue.chat import ASSISTANT, Dialogue, Message

THINGS = (
  "cat", "dog", "boat", "car", "house", "sister", "horse", "band", "school", "street",
  "parrot", "robot",
)  # fmt: skip
NAMES = (
  "Momo", "Luna", "Felix", "Nora", "Otto", "Ida", "Bruno", "Pia", "Sam", "Vera", "Kai",
  "Tess", "Hugo", "Zoe", "Rolf", "Ella",
)  # fmt: skip
TALK = (
  "it rained all night.", "i had soup for lunch.", "the train was late again.",
  "i slept badly.", "work was long today.", "the garden is green.",
  "i read a good book.", "my neighbour sings at night.",
)  # fmt: skip
# One dialogue in so many is of the test split.
TEST_SHARE = 4
SPLITS = ("train", "heldout")


def draw(rng: np.random.Generator, facts: int = 4, asks: int = 1) -> Dialogue:
  """A dialogue with at most `facts` facts, and questions for each.

  Each thing is told once and asked somewhere behind; a fifth of the turns are talk. Few
  facts and many come alike often, so that a model can begin with the easy. Who only
  knows which names were told and not yet asked for is often right if `asks` is 1.

  Args:
    rng: what to draw with.
    facts: things that are told at most, 1 to the number of `THINGS`.
    asks: how often each is asked for, at least 1.
  """
  count = int(rng.integers(1, facts + 1))
  things = rng.choice(len(THINGS), count, replace=False)
  names = rng.integers(0, len(NAMES), count)
  # each fact before its questions, else in any order
  order = rng.permutation(np.repeat(np.arange(count), 1 + asks))
  told: set[int] = set()
  messages: list[Message] = []
  for i in order.tolist():
    if rng.random() < 0.2:
      messages += _exchange(TALK[rng.integers(len(TALK))], "ok.", False)
    thing, name = THINGS[things[i]], NAMES[names[i]]
    if i in told:
      messages += _exchange(f"what is my {thing} called?", name, True)
    else:
      messages += _exchange(f"my {thing} is called {name}.", "ok.", False)
      told.add(i)
  return tuple(messages)


def dialogues(
  split: str, seed: int = 0, facts: int = 4, count: int = 4096, asks: int = 1
) -> list[Dialogue]:
  """Different dialogues of a split; train and held out never share one.

  Args:
    split: one of `SPLITS`.
    seed: >= 0.
    facts: see `draw`.
    count: how many are drawn; those of the other split and repeats are left out.
    asks: see `draw`.

  Raises:
    ValueError: if a number is out of range.
  """
  check_number(facts, "facts", Range(at_least=1, at_most=len(THINGS)))
  check_number(count, "count", Range(at_least=1))
  check_number(asks, "asks", Range(at_least=1))
  rng = np.random.default_rng([seed, facts])
  drawn = dict.fromkeys(draw(rng, facts, asks) for _ in range(count))
  return [one for one in drawn if _split_of(one) == split]


def unbound(some: Sequence[Dialogue], asks: int = 1) -> float:
  """Answers that are exact by a guess among the names that may be asked for, a share.

  Who knows which things were told, and how often each was asked, but not which name is
  whose, cannot do better; what a model gets above it, it has bound to the thing.

  Args:
    some: dialogues of `draw`.
    asks: see `draw`.
  """
  right, answers = 0.0, 0
  for one in some:
    left: dict[str, int] = {}  # questions that are to come, by thing
    names: dict[str, str] = {}
    for said, answer in zip(one[::2], one[1::2], strict=True):
      words = said.content.rstrip(".?").split()
      if answer.counts:
        thing = words[3]
        may = [names[t] for t, n in left.items() if n]
        right += may.count(names[thing]) / len(may)
        answers, left[thing] = answers + 1, left[thing] - 1
      elif words[0] == "my" and words[2:4] == ["is", "called"]:
        names[words[1]], left[words[1]] = words[4], asks
  return right / answers


def _split_of(one: Dialogue) -> str:
  """The split that the dialogue's own words decide, whichever seed drew it."""
  said = "\n".join(message.content for message in one)
  return SPLITS[zlib.crc32(said.encode()) % TEST_SHARE == 0]


def _exchange(said: str, answer: str, counts: bool) -> list[Message]:
  return [Message("user", said, False), Message(ASSISTANT, answer, counts)]
