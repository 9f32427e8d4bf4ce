"""Asks a model every sample once, and keeps each answer as a line of a file."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.core import files
from jaxmem.core.errors import RunError, UserError
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench.page import Material, Sample, sample
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.loaded import Loaded
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
  belongs = loaded.model, loaded.params, loaded.tokenizer

  def answer(prompts: Sequence[bytes], max_tokens: int) -> list[bytes]:
    pen = Writer(*belongs, first_session(loaded.model, rows))
    pen.read([*prompts, *[b""] * (rows - len(prompts))], seed=0)
    texts = [b""] * rows
    for chunk in pen.write(Sampling(temperature=0.0), max_tokens):
      texts = [a + b for a, b in zip(texts, chunk.text, strict=True)]
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
  ledger: "Ledger",
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
        some = left[begin : begin + rows]
        batch = [sample(task, length, plan.seed, i, material) for i in some]
        yield ledger.keep(_ask(batch, answer, material))


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


class Ledger:
  """What was asked and answered in a directory: a config, and a line a sample.

  Attributes:
    done: (task, length, index) -> its line.
  """

  def __init__(self, directory: Path, config: Mapping[str, Any]):
    """Reads what is there; a line that was cut off while it was written is dropped.

    Args:
      directory: is made if it is not there.
      config: see `agree`.

    Raises:
      UserError: if the directory holds answers of another config, or is none.
    """
    self._directory, self._path = directory, directory / ANSWERS
    try:
      directory.mkdir(parents=True, exist_ok=True)
      self.agree(config)
      lines = self._read()
    except OSError as error:
      raise UserError(
        f"cannot use --out {directory}: {error.strerror or error}; name another"
      ) from error
    self.done = {(n["task"], n["length"], n["index"]): n for n in lines}

  def agree(self, config: Mapping[str, Any]) -> None:
    """Keeps what decides what samples say and how they are answered.

    Raises:
      UserError: if something else was kept before.
    """
    path = self._directory / CONFIG
    try:
      kept = files.read_json(path) if path.exists() else {}
      if not isinstance(kept, dict):
        raise ValueError("it is no object")
    except ValueError as error:
      raise UserError(f"{path} is damaged ({error}): give another --out") from error
    wanted = json.loads(json.dumps(config))
    for key, value in wanted.items():
      if kept.get(key, value) != value:
        raise UserError(
          f"{self._directory} holds answers with {key} {kept[key]!r}, and {value!r} is "
          "asked for: continue with the same, or give another --out"
        )
    files.write_json(path, kept | wanted)

  def _read(self) -> list[dict]:
    if not self._path.exists():
      return []
    content = self._path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
      lines = [json.loads(line) for line in whole.splitlines()]
      for number, line in enumerate(lines, start=1):
        if not (isinstance(line, dict) and {"task", "length", "index"} <= set(line)):
          raise ValueError(f"line {number} is no answer")
    except (ValueError, RecursionError) as error:
      raise UserError(
        f"{self._path} is damaged ({error}): mend the line, or give another --out"
      ) from error
    if whole != content:
      os.truncate(self._path, len(whole))
    return lines

  def keep(self, lines: list[dict]) -> list[dict]:
    """Writes lines behind the others.

    Raises:
      RunError: if the disk is full or the file cannot be written.
    """
    text = "".join(json.dumps(line) + "\n" for line in lines)
    try:
      with open(self._path, "a", encoding="utf-8") as file:
        file.write(text)
    except OSError as error:
      raise RunError(
        f"cannot write to {self._path}: {error.strerror}; free or mend it, and give "
        "the same command again"
      ) from error
    self.done |= {(n["task"], n["length"], n["index"]): n for n in lines}
    return lines
