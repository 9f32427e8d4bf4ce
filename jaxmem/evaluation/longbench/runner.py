"""Asks a model every sample once, and writes each answer as a line of a ledger."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.core.errors import NotUTF8
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench.page import Material, Sample, sample
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.loaded import Loaded
from jaxmem.runtime.resumable import Ledger
from jaxmem.runtime.signals import Stop

ANSWERS, CONFIG = "answers.jsonl", "probe.json"

# (prompts, the most tokens of an answer) -> the text of each answer
Answer = Callable[[Sequence[bytes], int], list[bytes]]


class Plan(NamedTuple):
  """The samples that are asked.

  Attributes:
    tasks: the names of the tasks.
    lengths: the lengths of the contexts, in tokens.
    samples: how many samples each task and length has.
    seed: the seed of all samples.
  """

  tasks: Sequence[str]
  lengths: Sequence[int]
  samples: int
  seed: int


class Stopped(Exception):
  """A signal asked the run to stop; the finished batches are in the ledger."""


def writer(loaded: Loaded, rows: int, stop: Stop) -> Answer:
  """Returns a function that continues the prompts of a batch by greedy decoding.

  Args:
    loaded: the model.
    rows: prompts of a batch.
    stop: the signal that is checked between pieces of 16 tokens.
  """
  model, params, tokenizer = loaded.model, loaded.params, loaded.tokenizer

  def answer(prompts: Sequence[bytes], max_tokens: int) -> list[bytes]:
    generator = Writer(model, params, tokenizer, first_session(model, rows))
    # the last prompt fills the batch, so that no other batch size is compiled
    generator.read([*prompts, *[prompts[-1]] * (rows - len(prompts))], seed=0)
    texts = [b""] * rows
    for piece in generator.write(Sampling(temperature=0.0), max_tokens):
      texts = [a + b for a, b in zip(texts, piece.text, strict=True)]
      if stop.requested:  # the batch is lost, which costs less than finishing it
        raise Stopped
    return texts[: len(prompts)]

  return answer


def check(plan: Plan, material: Material) -> None:
  """Draws the first sample of every task and length, to find mistakes early.

  Raises:
    UserError: if one cannot be drawn.
  """
  for task in plan.tasks:
    for length in plan.lengths:
      sample(task, length, plan.seed, 0, material)


def count_done(plan: Plan, ledger: Ledger) -> int:
  """Returns how many samples of a plan have their answers in the ledger."""
  return sum(
    task in plan.tasks and length in plan.lengths and index < plan.samples
    for task, length, index in ledger.done
  )


def run(
  plan: Plan,
  material: Material,
  answer: Answer,
  ledger: Ledger,
  rows: int,
  stop: Stop,
) -> Iterator[list[dict]]:
  """Asks the samples that have no answer yet, task by task and length by length.

  Args:
    plan: the samples.
    material: the material that samples are made of.
    answer: the function that `writer` returns.
    ledger: the ledger that answers are appended to.
    rows: samples of a batch.
    stop: the signal that is checked before every batch.

  Yields:
    The lines of a batch, which are in the ledger by then.

  Raises:
    Stopped: if a signal asked for it.
  """
  for task in plan.tasks:
    for length in plan.lengths:
      unanswered = [
        i for i in range(plan.samples) if (task, length, i) not in ledger.done
      ]
      for begin in range(0, len(unanswered), rows):
        if stop.requested:
          raise Stopped
        indices = unanswered[begin : begin + rows]
        # drawn here: the prompts of all samples would not fit in memory
        batch = [sample(task, length, plan.seed, i, material) for i in indices]
        yield ledger.append(_ask(batch, answer, material))


def _ask(batch: list[Sample], answer: Answer, material: Material) -> list[dict]:
  """Asks a batch and returns its lines; each has an even share of the seconds."""
  start = time.monotonic()
  texts = answer([s.draft.prompt.encode() for s in batch], batch[0].max_tokens)
  seconds = (time.monotonic() - start) / len(batch)
  score = longbench.tasks()[batch[0].task].score
  lines = []
  for item, text in zip(batch, texts, strict=True):
    output = text.decode(errors="replace")  # a token may end inside a character
    lines.append(
      {
        "task": item.task,
        "length": item.length,
        "index": item.index,
        "depth": item.draft.depth,
        "score": score(output, item.draft),
        "answers": item.draft.answers,
        "output": output,
        "read": item.tokens,
        "written": _count(material.tokenizer, text),
        "seconds": round(seconds, 4),
      }
    )
  return lines


def _count(tokenizer: Any, text: bytes) -> int:
  """Counts the tokens of a text; control tokens, which spell nothing, are none."""
  try:
    return len(tokenizer.encode(text))
  except NotUTF8:  # the model wrote a part of a character
    return len(tokenizer.encode(text.decode(errors="replace").encode()))


def open_ledger(directory: Path, identity: Mapping[str, Any]) -> Ledger:
  """Opens the answers of a directory, a line a sample.

  Args:
    directory: the directory, which is made if it is missing.
    identity: all that determines samples and answers.

  Raises:
    ResumeError: if the directory holds answers of another identity.
  """
  names = CONFIG, ANSWERS
  return Ledger(directory, identity, key=("task", "length", "index"), names=names)
