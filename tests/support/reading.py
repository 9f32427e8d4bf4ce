"""Reading the probes' prompts without the code that wrote them."""

import collections
import functools
import json
import re

import numpy as np

from jaxmem.evaluation.longbench import haystack, questions, wordlists
from jaxmem.tokenizers import ByteTokenizer, sentencepiece


def prose(sentences: int) -> str:
  """Sentences of 4 to 12 words, no two alike, and a paragraph every ten."""
  draw, out = np.random.default_rng(0), []
  for i in range(sentences):
    letters = ["".join(draw.choice(list("aeioulnrst"), 5)) for _ in range(12)]
    words = letters[: int(draw.integers(4, 12))]
    out.append(f"{' '.join(words)}.{' ' if i % 10 else chr(10) * 2}")
  return "".join(out)


@functools.cache
def tokenizer(name: str):
  if name == "byte":
    return ByteTokenizer()
  shown = (prose(300) + haystack.DRONE + " ".join(wordlists.NOUNS)) * 2
  model = sentencepiece.train([shown], 400)
  return sentencepiece.SentencePieceTokenizer(model, "x.model")


def papers(directory):
  """Two files of questions that a pattern can answer."""
  text = lambda i: f"Of tower {i} it is said that many came. Its keeper is Kel{i * 7}."
  qas = lambda i: [
    {"question": f"Who keeps tower {i}?", "answers": [{"text": f"Kel{i * 7}"}] * 2}
  ]
  articles = [{"paragraphs": [{"context": text(i), "qas": qas(i)}]} for i in range(200)]
  (directory / "squad.json").write_text(json.dumps({"data": articles}))
  pairs = [
    {
      "question": f"Who keeps tower {i}?",
      "answer": f"Kel{i * 7}",
      "context": [[f"T{i}", [text(i)]], [f"T{i + 1}", [text(i + 1)]]],
      "supporting_facts": [[f"T{i}", 0]],
    }
    for i in range(0, 200, 2)
  ]
  (directory / "hotpot.json").write_text(json.dumps(pairs))
  read = lambda name: questions.read(str(directory / name))
  return {"qa_1": read("squad.json"), "qa_2": read("hotpot.json")}


SENTENCE = re.compile(
  r"(?P<who>Anna|Boris|Clara|David) (?:"
  r"(?:walked to|went to|hurried to|came to) the (?P<to>\w+)"
  r"|(?:took|picked up|grabbed) the (?P<took>\w+)"
  r"|(?:left|put down|dropped) the (?P<left>\w+)"
  r"|(?:gave|handed|passed) the (?P<gave>\w+) to (?P<taker>\w+)"
  r"|is not in the (?P<out>\w+)"
  r"|is (?:either )?in the (?P<a>\w+)(?: or the (?P<b>\w+))?)\."
)


def lived(text: str):
  """What the facts in a text come to."""
  place, may, never, bag, trail = {}, {}, {}, {}, collections.defaultdict(list)
  gifts = []
  for fact in SENTENCE.finditer(text):
    who, f = fact["who"], fact.groupdict()
    if f["to"]:
      place[who] = f["to"]
      for thing in [t for t, owner in bag.items() if owner == who]:
        trail[thing].append(f["to"])
    elif f["took"]:
      bag[f["took"]] = who
      trail[f["took"]] = trail[f["took"]] or [place[who]]
      assert trail[f["took"]][-1] == place[who]
    elif f["left"]:
      assert bag.pop(f["left"]) == who
    elif f["gave"]:
      assert bag.pop(f["gave"]) == who and place[who] == place[f["taker"]]
      bag[f["gave"]] = f["taker"]
      gifts.append((who, f["gave"], f["taker"]))
    elif f["out"]:
      never[who], may[who] = f["out"], None
    else:
      may[who], never[who] = [p for p in (f["a"], f["b"]) if p], None
  return place, may, never, bag, trail, gifts


def told(text: str, asked: str) -> str:
  """The answer to a question of the small world, by reading."""
  place, may, never, bag, trail, gifts = lived(text)
  ask = lambda pattern: re.fullmatch(pattern, asked)
  if m := ask(r"Where is (?:the )?(\w+)\?"):
    return place.get(m[1]) or trail[m[1]][-1]
  if m := ask(r"Where was the (\w+) before it was in the (\w+)\?"):
    return trail[m[1]][trail[m[1]].index(m[2]) - 1]
  if ask(r"What is .* of.*\?"):
    north = {"north": 1, "south": -1, "east": 1, "west": -1}
    facts = re.findall(r"The (\w+) is (\w+) of the (\w+)\.", text)
    above = {(a, b) if north[s] > 0 else (b, a) for a, s, b in facts}
    if m := ask(r"What is (\w+) of the (\w+)\?"):
      side, known, first = m[1], m[2], True
    else:
      m = ask(r"What is the (\w+) (\w+) of\?")
      side, known, first = m[2], m[1], False
    up = (north[side] > 0) == first
    found = [a for a, b in above if b == known] if up else []
    found += [] if up else [b for a, b in above if a == known]
    return found[-1]
  for pattern, which, known in (
    (r"Who gave the (\w+) to (\w+)\?", 0, (1, 2)),
    (r"Who did (\w+) give the (\w+) to\?", 2, (0, 1)),
    (r"What did (\w+) give to (\w+)\?", 1, (0, 2)),
  ):
    if m := ask(pattern):
      fits = lambda g, m=m, known=known: tuple(g[i] for i in known) == m.groups()
      [answer] = {g[which] for g in gifts if fits(g)}
      return answer
  if m := ask(r"(?:How many things|What) does (\w+) carry\?"):
    held = [thing for thing, who in bag.items() if who == m[1]]
    if asked.startswith("How"):
      return ("none", "one", "two", "three")[len(held)]
    return ",".join(held) or "nothing"
  m = ask(r"Is (\w+) in the (\w+)\?")
  if m[1] in place:
    return "yes" if place[m[1]] == m[2] else "no"
  if never.get(m[1]):
    assert never[m[1]] == m[2]
    return "no"
  able = may[m[1]]
  return "no" if m[2] not in able else "maybe" if len(able) > 1 else "yes"


def oracle(task: str, prompt: str) -> str:
  """What a reader who understands the prompt says after it."""
  asked = prompt.rpartition("Question: ")[2]
  if task.startswith("niah"):
    facts = re.findall(r"A special magic \w+ of (\S+) is (\S+)\.", prompt)
    keys = set(re.search(r" of (.*) in the text above", asked)[1].split(", "))
    keys |= {part for key in keys for part in key.split(" and ")}
    return ", ".join(value for key, value in facts if key in keys)
  if task == "passkey":
    return re.search(r"The pass key is (\d+)\.", prompt)[1]
  if task == "needle":
    return re.search(r"lighthouse is (\S+)\.", prompt)[1]
  if task == "vt":
    text = prompt[prompt.rindex("Follow the values") :]
    held, names = re.search(r"hold the value (\d+) in", asked)[1], set()
    for name, variable, number in re.findall(r"VAR (\w+) = (?:VAR (\w+)|(\d+))", text):
      if number == held or variable in names:
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
    tower = re.search(r"tower (\d+)\?", asked)[1]
    return re.search(rf"tower {tower} it is said[^.]*\. Its keeper is (\w+)", prompt)[1]
  return told(prompt[prompt.rindex("\nText:") :], asked.partition("\n")[0]) + "."
