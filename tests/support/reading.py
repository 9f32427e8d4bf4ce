"""Answers the prompts of probes by regular expressions, without the code of probes."""

import collections
import functools
import json
import re

import numpy as np

from jaxmem.evaluation.longbench import haystack, questions, wordlists
from jaxmem.tokenizers import ByteTokenizer, sentencepiece


def prose(sentences: int) -> str:
  """Returns different sentences of 4 to 12 words, with a paragraph every ten."""
  draw, out = np.random.default_rng(0), []
  for i in range(sentences):
    letters = ["".join(draw.choice(list("aeioulnrst"), 5)) for _ in range(12)]
    words = letters[: int(draw.integers(4, 12))]
    out.append(f"{' '.join(words)}.{' ' if i % 10 else chr(10) * 2}")
  return "".join(out)


@functools.cache
def tokenizer(name: str):
  """Returns the byte tokenizer, or SentencePiece trained on text like the probes'."""
  if name == "byte":
    return ByteTokenizer()
  text = (prose(300) + haystack.DRONE + " ".join(wordlists.NOUNS)) * 2
  model = sentencepiece.train([text], 400)
  return sentencepiece.SentencePieceTokenizer(model, "x.model")


def papers(directory):
  """Writes two files of questions that a pattern can answer, and reads them."""

  def statement(i):
    return f"Of tower {i} it is said that many came. Its keeper is Kel{i * 7}."

  def qas(i):
    answers = [{"text": f"Kel{i * 7}"}] * 2
    return [{"question": f"Who keeps tower {i}?", "answers": answers}]

  articles = [
    {"paragraphs": [{"context": statement(i), "qas": qas(i)}]} for i in range(200)
  ]
  (directory / "squad.json").write_text(json.dumps({"data": articles}))
  pairs = [
    {
      "question": f"Who keeps tower {i}?",
      "answer": f"Kel{i * 7}",
      "context": [[f"T{i}", [statement(i)]], [f"T{i + 1}", [statement(i + 1)]]],
      "supporting_facts": [[f"T{i}", 0]],
    }
    for i in range(0, 200, 2)
  ]
  (directory / "hotpot.json").write_text(json.dumps(pairs))
  return {
    "qa_1": questions.read(str(directory / "squad.json")),
    "qa_2": questions.read(str(directory / "hotpot.json")),
  }


SENTENCE = re.compile(
  r"(?P<person>Anna|Boris|Clara|David) (?:"
  r"(?:walked to|went to|hurried to|came to) the (?P<to>\w+)"
  r"|(?:took|picked up|grabbed) the (?P<took>\w+)"
  r"|(?:left|put down|dropped) the (?P<left>\w+)"
  r"|(?:gave|handed|passed) the (?P<gave>\w+) to (?P<taker>\w+)"
  r"|is not in the (?P<out>\w+)"
  r"|is (?:either )?in the (?P<a>\w+)(?: or the (?P<b>\w+))?)\."
)


def world(text: str):
  """Replays the facts of a text.

  Returns:
    person -> location; person -> possible locations; person -> excluded location;
    object -> owner; object -> locations in order; and gifts (giver, object, taker).
  """
  location, may, never, bag, trail = {}, {}, {}, {}, collections.defaultdict(list)
  gifts = []
  for fact in SENTENCE.finditer(text):
    person, f = fact["person"], fact.groupdict()
    if f["to"]:
      location[person] = f["to"]
      # what a person carries moves along
      for item in [item for item, owner in bag.items() if owner == person]:
        trail[item].append(f["to"])
    elif f["took"]:
      bag[f["took"]] = person
      trail[f["took"]] = trail[f["took"]] or [location[person]]
      assert trail[f["took"]][-1] == location[person]
    elif f["left"]:
      assert bag.pop(f["left"]) == person
    elif f["gave"]:
      assert bag.pop(f["gave"]) == person and location[person] == location[f["taker"]]
      bag[f["gave"]] = f["taker"]
      gifts.append((person, f["gave"], f["taker"]))
    elif f["out"]:
      never[person], may[person] = f["out"], None
    else:
      may[person], never[person] = [p for p in (f["a"], f["b"]) if p], None
  return location, may, never, bag, trail, gifts


def answer(text: str, question: str) -> str:
  """Returns the answer to a question about the small world of a text."""
  location, may, never, bag, trail, gifts = world(text)

  def ask(pattern):
    return re.fullmatch(pattern, question)

  if m := ask(r"Where is (?:the )?(\w+)\?"):
    return location.get(m[1]) or trail[m[1]][-1]
  if m := ask(r"Where was the (\w+) before it was in the (\w+)\?"):
    return trail[m[1]][trail[m[1]].index(m[2]) - 1]
  if ask(r"What is .* of.*\?"):
    north = {"north": 1, "south": -1, "east": 1, "west": -1}
    facts = re.findall(r"The (\w+) is (\w+) of the (\w+)\.", text)
    above = {(a, b) if north[s] > 0 else (b, a) for a, s, b in facts}
    if m := ask(r"What is (\w+) of the (\w+)\?"):
      side, room, first = m[1], m[2], True
    else:
      m = ask(r"What is the (\w+) (\w+) of\?")
      side, room, first = m[2], m[1], False
    # rooms are ordered from south to north, or from west to east
    is_above = (north[side] > 0) == first
    if is_above:
      return [a for a, b in above if b == room][-1]
    return [b for a, b in above if a == room][-1]
  for pattern, index, keys in (
    (r"Who gave the (\w+) to (\w+)\?", 0, (1, 2)),
    (r"Who did (\w+) give the (\w+) to\?", 2, (0, 1)),
    (r"What did (\w+) give to (\w+)\?", 1, (0, 2)),
  ):
    if m := ask(pattern):
      [result] = {
        gift[index] for gift in gifts if tuple(gift[i] for i in keys) == m.groups()
      }
      return result
  if m := ask(r"(?:How many things|What) does (\w+) carry\?"):
    carried = [item for item, owner in bag.items() if owner == m[1]]
    if question.startswith("How"):
      return ("none", "one", "two", "three")[len(carried)]
    return ",".join(carried) or "nothing"
  m = ask(r"Is (\w+) in the (\w+)\?")
  if m[1] in location:
    return "yes" if location[m[1]] == m[2] else "no"
  if never.get(m[1]):
    assert never[m[1]] == m[2]
    return "no"
  able = may[m[1]]
  return "no" if m[2] not in able else "maybe" if len(able) > 1 else "yes"


def oracle(task: str, prompt: str) -> str:
  """Returns the answer of a reader who understands the prompt of a task."""
  question = prompt.rpartition("Question: ")[2]
  if task.startswith("niah"):
    facts = re.findall(r"A special magic \w+ of (\S+) is (\S+)\.", prompt)
    keys = set(re.search(r" of (.*) in the text above", question)[1].split(", "))
    keys |= {part for key in keys for part in key.split(" and ")}
    return ", ".join(value for key, value in facts if key in keys)
  if task == "passkey":
    return re.search(r"The pass key is (\d+)\.", prompt)[1]
  if task == "needle":
    return re.search(r"lighthouse is (\S+)\.", prompt)[1]
  if task == "vt":
    text = prompt[prompt.rindex("Follow the values") :]
    value, names = re.search(r"hold the value (\d+) in", question)[1], set()
    for name, variable, number in re.findall(r"VAR (\w+) = (?:VAR (\w+)|(\d+))", text):
      if number == value or variable in names:
        names.add(name)
    return " ".join(names)
  if task == "cwe":
    text = prompt[prompt.rindex("In the numbered list") :]
    counts = collections.Counter(re.findall(r"\d+\. (\w+)", text))
    return " ".join(word for word, _ in counts.most_common(10))
  if task == "fwe":
    counts = collections.Counter(prompt.split("\n\n")[1].split())
    top = [word for word, _ in counts.most_common(4) if word != "..."]
    return " ".join(top)
  if task.startswith("qa"):
    tower = re.search(r"tower (\d+)\?", question)[1]
    return re.search(rf"tower {tower} it is said[^.]*\. Its keeper is (\w+)", prompt)[1]
  return answer(prompt[prompt.rindex("\nText:") :], question.partition("\n")[0]) + "."
