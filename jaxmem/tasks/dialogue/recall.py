"""Dialogues in which a user tells the names of things, and asks for them later.

    user: my cat is called Momo.
    assistant: ok.
    user: it rained all night.
    assistant: ok.
    user: what is my cat called?
    assistant: Momo

Each answer occurs in an earlier turn and nowhere else, so a model that forgets between
turns can only guess one of `NAMES`.
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
# One dialogue of so many is held out.
TEST_SHARE = 4
SPLITS = ("train", "heldout")


def draw(
  rng: np.random.Generator, facts: int = 4, asks: int = 1, talk: int = 0
) -> Dialogue:
  """Draws a dialogue with at most `facts` facts, and questions for each of them.

  The name of a thing is told once and asked for later; a fifth of the turns are talk.
  All numbers of facts are equally likely, so that a model can begin with few. If `asks`
  is 1, a guess among the names that were told and not yet asked for is often right.

  Args:
    rng: the generator of the draws.
    facts: the most facts, 1 to the number of `THINGS`.
    asks: how often each name is asked for, at least 1.
    talk: the most turns of talk that stand in a row at one place after the first fact;
      short and long rows are about equally likely on a logarithmic scale.
  """
  count = int(rng.integers(1, facts + 1))
  thing_ids = rng.choice(len(THINGS), count, replace=False)
  names = rng.integers(0, len(NAMES), count)
  # each fact before its questions, else in any order
  order = rng.permutation(np.repeat(np.arange(count), 1 + asks))
  is_told: set[int] = set()
  messages: list[Message] = []
  # without `talk` nothing is drawn for it, so that older dialogues stay as they are
  pause_at = int(rng.integers(1, len(order))) if talk else -1
  for place, i in enumerate(order.tolist()):
    if place == pause_at:
      for _ in range(int((talk + 1) ** rng.random())):
        messages += _exchange(TALK[rng.integers(len(TALK))], "ok.", False)
    if rng.random() < 0.2:
      messages += _exchange(TALK[rng.integers(len(TALK))], "ok.", False)
    thing, name = THINGS[thing_ids[i]], NAMES[names[i]]
    if i in is_told:
      messages += _exchange(f"what is my {thing} called?", name, True)
    else:
      messages += _exchange(f"my {thing} is called {name}.", "ok.", False)
      is_told.add(i)
  return tuple(messages)


def dialogues(
  split: str,
  seed: int = 0,
  facts: int = 4,
  count: int = 4096,
  asks: int = 1,
  talk: int = 0,
) -> list[Dialogue]:
  """Returns distinct dialogues of a split; train and held out never share one.

  Args:
    split: one of `SPLITS`.
    seed: the seed of the draws, >= 0.
    facts: see `draw`.
    count: how many are drawn; those of the other split and repeats are left out.
    asks: see `draw`.
    talk: see `draw`.

  Raises:
    ValueError: if a number is out of range.
  """
  check_number(facts, "facts", Range(at_least=1, at_most=len(THINGS)))
  check_number(count, "count", Range(at_least=1))
  check_number(asks, "asks", Range(at_least=1))
  check_number(talk, "talk", Range(at_least=0))
  rng = np.random.default_rng([seed, facts])
  # a dict drops repeats and keeps the order, which a set does not
  distinct = dict.fromkeys(draw(rng, facts, asks, talk) for _ in range(count))
  return [dialogue for dialogue in distinct if _split_of(dialogue) == split]


def delays(dialogue: Dialogue) -> dict[int, int]:
  """Returns, for each turn that asks for a name, how many turns ago it was last said.

  Args:
    dialogue: a dialogue of `draw`; turns are counted from 1.
  """
  said_at: dict[str, int] = {}  # thing -> the last turn that told or answered its name
  turns: dict[int, int] = {}
  exchanges = zip(dialogue[::2], dialogue[1::2], strict=True)
  for turn, (message, answer) in enumerate(exchanges, 1):
    words = message.content.rstrip(".?").split()
    if answer.counts:
      turns[turn] = turn - said_at[words[3]]
      said_at[words[3]] = turn
    elif _tells(words):
      said_at[words[1]] = turn
  return turns


def is_talk(message: Message) -> bool:
  """Returns whether a message neither tells a name nor asks for one."""
  return message.content in TALK


def _tells(words: Sequence[str]) -> bool:
  """Returns whether a message, as words, tells a name."""
  return words[0] == "my" and words[2:4] == ["is", "called"]


def unbound(dialogues: Sequence[Dialogue], asks: int = 1) -> float:
  """Returns the share of exact answers of a guess among the names still to be asked.

  Without knowing which name is which thing's, nothing does better, even with the names
  that were told and the questions so far; a model above it has bound names to things.

  Args:
    dialogues: dialogues of `draw`.
    asks: see `draw`.
  """
  right, answers = 0.0, 0
  for dialogue in dialogues:
    remaining: dict[str, int] = {}  # questions that are to come, by thing
    names: dict[str, str] = {}
    for message, answer in zip(dialogue[::2], dialogue[1::2], strict=True):
      words = message.content.rstrip(".?").split()
      if answer.counts:
        thing = words[3]
        candidates = [names[t] for t, n in remaining.items() if n]
        right += candidates.count(names[thing]) / len(candidates)
        answers, remaining[thing] = answers + 1, remaining[thing] - 1
      elif _tells(words):
        names[words[1]], remaining[words[1]] = words[4], asks
  return right / answers


def _split_of(dialogue: Dialogue) -> str:
  """Returns the split of a dialogue by its text alone, whichever seed drew it."""
  text = "\n".join(message.content for message in dialogue)
  return SPLITS[zlib.crc32(text.encode()) % TEST_SHARE == 0]


def _exchange(message: str, answer: str, counts: bool) -> list[Message]:
  return [Message("user", message, False), Message(ASSISTANT, answer, counts)]
