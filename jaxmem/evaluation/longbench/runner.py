"""Asks a model every sample once, and keeps each answer as a line of a ledger."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench.page import Material, Sample, sample
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.loaded import Loaded
from jaxmem.runtime.resumable import Ledger
from jaxmem.runtime.signals import Stop

ANSWERS, CONFIG = "answers.jsonl", "probe.json"

# prompts, and the most tokens that each is answered with -> what was written
Answer = Callable[[Sequence[bytes], int], list[bytes]]


class Plan(NamedTuple):
  """Which samples are asked.

  Attributes:
    tasks: their names.
    lengths: of the contexts, in tokens.
    samples: of every task and length.
    seed: of all of them.
  """

  tasks: Sequence[str]
  lengths: Sequence[int]
  samples: int
  seed: int


class Stopped(Exception):
  """Somebody asked the run to stop; what was finished is kept."""


def writer(loaded: Loaded, rows: int, stop: Stop) -> Answer:
  """Answers of a model: the prompts of a batch are read and continued, likeliest
  token by likeliest token.

  Args:
    loaded: the model.
    rows: prompts of a batch; fewer are filled up with empty ones, so that no other
      batch size is compiled.
    stop: asked between pieces of 16 tokens.
  """
  model, params, tokenizer = loaded.model, loaded.params, loaded.tokenizer

  def answer(prompts: Sequence[bytes], max_tokens: int) -> list[bytes]:
    generator = Writer(model, params, tokenizer, first_session(model, rows))
    generator.read([*prompts, *[b""] * (rows - len(prompts))], seed=0)
    texts = [b""] * rows
    for piece in generator.write(Sampling(temperature=0.0), max_tokens):
      texts = [a + b for a, b in zip(texts, piece.text, strict=True)]
      if stop.requested:
        raise Stopped
    return texts[: len(prompts)]

  return answer


def check(plan: Plan, material: Material) -> None:
  """Makes the first sample of every task and length, for its mistakes.

  Raises:
    UserError: if one cannot be made.
  """
  for task in plan.tasks:
    for length in plan.lengths:
      sample(task, length, plan.seed, 0, material)


def run(
  plan: Plan,
  material: Material,
  answer: Answer,
  ledger: Ledger,
  rows: int,
  stop: Stop,
) -> Iterator[list[dict]]:
  """Asks what is not answered yet, task by task and length by length.

  Args:
    plan: what is asked.
    material: what samples are made of.
    answer: see `writer`.
    ledger: where answers are kept.
    rows: samples of a batch.
    stop: looked at before every batch.

  Yields:
    The lines of a batch, which are kept by then.

  Raises:
    Stopped: if somebody asked for it.
  """
  for task in plan.tasks:
    for length in plan.lengths:
      left = [i for i in range(plan.samples) if (task, length, i) not in ledger.done]
      for begin in range(0, len(left), rows):
        if stop.requested:
          raise Stopped
        indices = left[begin : begin + rows]
        batch = [sample(task, length, plan.seed, i, material) for i in indices]
        yield ledger.append(_ask(batch, answer, material))


def _ask(batch: list[Sample], answer: Answer, material: Material) -> list[dict]:
  """The lines of a batch; its seconds are shared out evenly."""
  start = time.monotonic()
  texts = answer([s.draft.prompt.encode() for s in batch], batch[0].max_tokens)
  seconds = (time.monotonic() - start) / len(batch)
  score = longbench.tasks()[batch[0].task].score
  lines = []
  for one, text in zip(batch, texts, strict=True):
    output = text.decode(errors="replace")
    lines.append(
      {
        "task": one.task,
        "length": one.length,
        "index": one.index,
        "depth": one.draft.depth,
        "score": score(output, one.draft),
        "answers": one.draft.answers,
        "output": output,
        "read": one.tokens,
        # of the text; control pieces, which spell nothing, are not counted
        "written": len(material.tokenizer.encode(text)) if text else 0,
        "seconds": round(seconds, 4),
      }
    )
  return lines


def open_ledger(directory: Path, identity: Mapping[str, Any]) -> Ledger:
  """Opens what was asked and answered in a directory, a line a sample.

  Args:
    directory: is made if it is not there.
    identity: what decides what samples say and how they are answered.

  Raises:
    ResumeError: if the directory holds answers of another identity.
  """
  names = CONFIG, ANSWERS
  return Ledger(directory, identity, key=("task", "length", "index"), names=names)
