"""scores text of any length: jaxmem eval --workdir DIR --text FILE|DIR|GLOB|stdlib"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import require
from jaxmem.errors import UserError

# Seconds between plain lines of progress.
SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Options:
  """Bits per byte of text, streamed through the memory of the newest checkpoint.

  Attributes:
    workdir: of the run.
    checkpoint: the last one, or the best on held-out text.
    text: a file, a directory, a glob, or stdlib; files are documents.
    rows: documents that are read at once.
    length: tokens of a call; changes the speed and the memory used, not the numbers.
    document_length: tokens after which the memory is emptied and a document goes on as
      another one; 0 is never.
    out: a file for the numbers, as JSON.
  """

  workdir: str = ""
  checkpoint: Literal["last", "best"] = "last"
  text: str = ""
  rows: int = 1
  length: int = 4096
  document_length: int = 0
  out: str = ""


def main(argv: list[str]) -> int:
  """`jaxmem eval`."""
  require("tyro", "tqdm")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem eval")
  documents = _check(given)
  _check_capacity(given, documents)

  import jax

  from jaxmem.evals import stream
  from jaxmem.load import load_model

  loaded = load_model(Path(given.workdir), given.checkpoint)
  apply = jax.jit(
    lambda params, *args: loaded.model.apply(
      {"params": params}, *args, method="losses"
    ),
    donate_argnums=3,
  )
  losses = lambda *args: apply(loaded.params, *args)
  init_state = loaded.model.init_state
  meter = Meter(sum(document.size for document in documents))
  how = given.rows, given.length, given.document_length
  results = stream.read(losses, init_state, documents, loaded.tokenizer, *how)
  for result in results:
    meter.update(result)
  seconds = meter.close()
  numbers = {
    "text": given.text,
    "step": loaded.step,
    "documents": result.num_documents,
    "bytes": result.num_bytes,
    "bits_per_byte": result.bits_per_byte(),
    "by_position": result.by_position(),
    "seconds": seconds,
  }
  print("\n".join(_table(numbers)))
  if given.out:
    Path(given.out).write_text(json.dumps(numbers, indent=2) + "\n")
  return 0


def _check(given: Options) -> list:
  """The documents; before any device work.

  Raises:
    UserError: for the first thing that is missing or out of range.
  """
  from jaxmem.data import sources

  for name in ("rows", "length"):
    if getattr(given, name) < 1:
      raise UserError(f"{name} is {getattr(given, name)}: it must be at least 1")
  if given.document_length < 0:
    raise UserError(f"document_length is {given.document_length}: at least 1, or 0")
  if not given.workdir:
    raise UserError("--workdir is missing: give that of a run of `jaxmem train`")
  if not given.text:
    raise UserError("--text is missing: a file, a directory, a glob, or stdlib")
  if given.out and not Path(given.out).absolute().parent.is_dir():
    raise UserError(f"--out {given.out}: its directory does not exist")
  return sources.find(given.text)


def _check_capacity(given: Options, documents: list) -> None:
  """Raises CapacityError if a document is longer than a memory of the model holds."""
  from jaxmem import capacity
  from jaxmem.data import tokenizers
  from jaxmem.load import load_config

  config = load_config(Path(given.workdir), given.checkpoint)
  limit = capacity.limit(config.model.pattern)
  if limit is None:
    return
  length = given.document_length
  if not 0 < length <= limit.tokens:
    tokenizer = tokenizers.get(config.data.tokenizer)
    longest = capacity.longest(documents, tokenizer, limit)
    length = min(longest, length or longest)
  remedy = f"cut documents with --document-length {limit.tokens}"
  limit.check(length, f"a document of {given.text}", remedy)


def _table(numbers: dict[str, Any]) -> list[str]:
  rate = numbers["bytes"] / max(numbers["seconds"], 1e-9)
  rows = [
    f"| {b['from']:,} to {b['to'] - 1:,} | {b['tokens']:,} | {b['bits_per_byte']:.3f} |"
    for b in numbers["by_position"]
  ]
  return [
    f"{numbers['text']}: {numbers['bytes']:,} bytes of {numbers['documents']:,} "
    f"documents, {rate:,.0f} bytes/s, step {numbers['step']}",
    "",
    "| position in the document | tokens | bits per byte |",
    "|---|--:|--:|",
    *rows,
    f"| all | {sum(b['tokens'] for b in numbers['by_position']):,} | "
    f"{numbers['bits_per_byte']:.3f} |",
  ]


class Meter:
  """How far it is: a tqdm bar on a terminal, a line every few seconds otherwise."""

  def __init__(self, size: int):
    """Args: the bytes of all the text."""
    self._size, self._begin = size, time.monotonic()
    self._said, self._bar = self._begin, None
    if sys.stderr.isatty():
      import tqdm

      self._bar = tqdm.tqdm(total=size, unit="B", unit_scale=True)

  def update(self, result: Any) -> None:
    """Shows a result on the way."""
    now = time.monotonic()
    if self._bar is not None:
      self._bar.set_postfix_str(f"{result.bits_per_byte():.3f} bits/byte")
      self._bar.update(result.num_bytes - self._bar.n)
    elif now - self._said >= SECONDS:
      self._said = now
      rate = max(result.num_bytes, 1) / (now - self._begin)
      left = (self._size - result.num_bytes) / rate
      print(
        f"{result.num_bytes:,} of {self._size:,} bytes  "
        f"{result.bits_per_byte():.3f} bits/byte  {rate:,.0f} bytes/s  "
        f"{left / 60:.1f} min left",
        flush=True,
      )

  def close(self) -> float:
    """Leaves the bar as it stands; returns the seconds since the beginning."""
    if self._bar is not None:
      self._bar.close()
    return time.monotonic() - self._begin
