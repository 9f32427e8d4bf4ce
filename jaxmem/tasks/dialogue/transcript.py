"""Recall in a report: answers by how long ago a name was said, and a transcript."""

from collections.abc import Sequence
from typing import Any

from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.lm import LM
from jaxmem.tasks.dialogue import chat, recall, turns
from jaxmem.tasks.dialogue.chat import Dialogue
from jaxmem.tokenizers import Ids, Tokenizer

# Talk of more turns in a row is summed up in a line.
_TALK = 2
# A transcript ends after so many questions.
_QUESTIONS = 6


def replies(
  model: LM, params: Any, tokenizer: Tokenizer, prompts: Sequence[Ids]
) -> list[str]:
  """Writes the assistant's next message after each prompt, greedily.

  Args:
    model: the language model.
    params: its parameters.
    tokenizer: text to ids and back.
    prompts: the ids of dialogues, see `chat.reply_prompt`.
  """
  session = first_session(model, len(prompts))
  writer = Writer(model, params, tokenizer, session)
  writer.read(prompts, seed=0)  # decoding is greedy, so the seed has no effect
  texts = [b""] * len(prompts)
  for chunk in writer.write(Sampling(temperature=0.0), chat.LONGEST, stop=[b"\n"]):
    texts = [a + b for a, b in zip(texts, chunk.text, strict=True)]
  return [chat.content(text) for text in texts]


def by_delay(answers: turns.Answers, dialogues: Sequence[Dialogue]) -> turns.Turns:
  """Returns way -> n -> the sums over answers whose name was said n turns ago or more.

  n is a power of two, and the name was said less than 2 n turns ago.

  Args:
    answers: the scores, see `turns.Listener.answers`.
    dialogues: their dialogues, of `recall.draw`.
  """
  delays = [recall.delays(dialogue) for dialogue in dialogues]

  def group(answer: turns.Answer) -> int:
    return 1 << delays[answer.dialogue][answer.turn].bit_length() - 1

  return turns.sums(answers, group)


def table(by_delay: turns.Turns, dialogues: Sequence[Dialogue]) -> list[str]:
  """Returns exact answers by how many turns ago the name was said, as Markdown.

  Args:
    by_delay: see `by_delay`.
    dialogues: the dialogues that were read.
  """

  def name(n: int) -> str:
    return f"{n} to {2 * n - 1}" if n > 1 else "1"

  sizes = [len(line) for line in chat.text_lines(dialogues)]
  size = sum(sizes) / sum(len(dialogue) / 2 for dialogue in dialogues)
  guess = len(recall.NAMES)
  return [
    *turns.table(by_delay, "name said, turns ago", name),
    "",
    f"A turn has {size:.0f} bytes on average. A guess among all {guess} names: "
    f"{1 / guess:.3f} exact.",
  ]


def longest(dialogues: Sequence[Dialogue]) -> Dialogue:
  """Returns the dialogue whose transcript asks, in sum, for names of longest ago."""

  def waits(dialogue: Dialogue) -> int:
    return sum([*recall.delays(dialogue).values()][:_QUESTIONS])

  return max(dialogues, key=waits)


def lines(
  dialogue: Dialogue, model: LM, params: Any, tokenizer: Tokenizer
) -> list[str]:
  """Returns a dialogue with the answers of a model in two ways, as Markdown.

  *Carried* has read the dialogue so far with the right answers; *emptied* begins with
  the message that it answers. Only the first questions are shown.

  Args:
    dialogue: the dialogue, of `recall.draw`.
    model: the language model.
    params: its parameters.
    tokenizer: text to ids and back.
  """
  asked = [i for i, message in enumerate(dialogue) if message.counts][:_QUESTIONS]
  dialogue = dialogue[: asked[-1] + 1]
  parts = [dialogue[:i] for i in asked] + [dialogue[i - 1 : i] for i in asked]
  prompts = [chat.reply_prompt(part, tokenizer) for part in parts]
  written = replies(model, params, tokenizer, prompts)
  carried = dict(zip(asked, written[: len(asked)], strict=True))
  emptied = dict(zip(asked, written[len(asked) :], strict=True))
  lines, talk = [], []
  for i in range(0, len(dialogue), 2):
    pair = dialogue[i : i + 2]
    if recall.is_talk(pair[0]):
      talk.append(pair)
      continue
    lines += [*_talk(talk), f"{pair[0].role}: {pair[0].content}"]
    talk, role, name = [], pair[1].role, pair[1].content
    if i + 1 in carried:
      for way, answers in (("carried", carried), ("emptied", emptied)):
        answer = answers[i + 1]
        mark = "" if answer == name else f"   (wrong: {name})"
        lines.append(f"{role}, memory {way}: {answer}{mark}")
    else:
      lines.append(f"{role}: {name}")
  # four spaces make a code block, in which Markdown leaves the lines as they are
  return [f"    {line}" for line in lines + _talk(talk)]


def _talk(pairs: Sequence[Dialogue]) -> list[str]:
  """Returns turns of talk, many of them as a line that counts them."""
  size = sum(len(line) for line in chat.text_lines(pairs))
  if len(pairs) > _TALK:
    return [f"... {len(pairs)} turns of other talk, {size:,} bytes ..."]
  return [f"{message.role}: {message.content}" for pair in pairs for message in pair]
