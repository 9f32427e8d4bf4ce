"""makes and applies a tokenizer: jaxmem tokenizer train|encode|decode ..."""

import argparse
import dataclasses
import hashlib
import os
import sys

import numpy as np

from jaxmem.commands import check_numbers
from jaxmem.core import outputs, utf8
from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.core.extras import require
from jaxmem.core.ranges import Range
from jaxmem.data import opened, sources
from jaxmem.data.file_slice import FileSlice
from jaxmem.tokenizers import trained


def main(argv: list[str]) -> int:
  """`jaxmem tokenizer`."""
  given = _parser().parse_args(argv)
  if given.action == "train":
    return _train(given)
  inputs = {"the input": given.input or "-", "the model": given.model}
  outputs.refuse_overwrite(given.out or "-", inputs)
  try:
    tokenizer = trained.get(given.model)
  except DataError:
    raise
  except ValueError as error:
    raise DataError(str(error)) from error
  name = given.input or "standard input"
  content = _read(given.input)
  if given.action == "encode":
    try:
      ids = tokenizer.encode(content)
    except NotUTF8 as error:
      raise DataError(f"{name} is {error}") from error
    _write(given.out, (" ".join(map(str, ids.tolist())) + "\n").encode())
    return 0
  try:
    text = tokenizer.decode(np.array([_id(word) for word in content.split()]))
  except ValueError as error:
    raise DataError(f"{name} does not hold ids of {given.model}: {error}") from error
  _write(given.out, text)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="jaxmem tokenizer")
  actions = parser.add_subparsers(dest="action", required=True)
  train = actions.add_parser("train", help="a byte-pair model of a source")
  train.add_argument("source", help="as task.source of a config, but no mixture")
  train.add_argument("--out", required=True, help="the .model file to write")
  train.add_argument("--vocab-size", type=int, default=8192, help="pieces")
  train.add_argument("--heldout", default="", help="as task.heldout; never read")
  train.add_argument(
    "--max-bytes", type=int, default=100_000_000, help="a sample of a larger source"
  )
  for action, text in (("encode", "text to ids"), ("decode", "ids to text")):
    sub = actions.add_parser(action, help=text)
    sub.add_argument(
      "model", help="a .model, tokenizer.json or .gguf file, byte, or minilm"
    )
    sub.add_argument("input", nargs="?", default="", help="else standard input")
    sub.add_argument("--out", default="", help="else standard output")
  return parser


def _id(word: bytes) -> int:
  """Raises ValueError if a word is no number; int() alone would take 1_000, and raise
  of thousands of digits."""
  if not word.removeprefix(b"-").isdigit() or len(word) > 100:
    raise ValueError(f"{word[:40].decode(errors='replace')!r} is no number of an id")
  return int(word)


def _train(given: argparse.Namespace) -> int:
  require("sentencepiece", extra="text")
  from jaxmem.tokenizers import sentencepiece

  check_numbers(given, vocab_size=Range(at_least=1), max_bytes=Range(at_least=1))
  if not given.out.endswith(".model"):
    raise DataError(f"--out {given.out} does not end in .model: give a name that does")
  inputs = {"the source": given.source, "--heldout": given.heldout}
  outputs.refuse_overwrite(given.out, inputs)
  # Only the training side: held-out text must not shape the pieces.
  slices = sources.split(given.source, given.heldout)["train"]
  chosen = _sample(slices, given.max_bytes)
  model = sentencepiece.train(map(_text, chosen), given.vocab_size)
  tokenizer = sentencepiece.SentencePieceTokenizer(model, given.out)
  _write(given.out, model)
  size, total = (sum(p.size for p in part) for part in (chosen, slices))
  print(
    f"{given.out}: {tokenizer.vocab_size:,} pieces from {size:,} of {total:,} bytes, "
    f"fingerprint {tokenizer.fingerprint[:15]}"
  )
  return 0


def _sample(slices: list[FileSlice], max_bytes: int) -> list[FileSlice]:
  """Documents in the order of a hash of their names, up to `max_bytes`.

  The one that goes beyond is cut, between characters.
  """
  if sum(file_slice.size for file_slice in slices) <= max_bytes:
    return slices
  chosen = []
  for file_slice in sorted(
    slices, key=lambda p: hashlib.sha256(os.fsencode(p.name)).digest()
  ):
    if file_slice.size >= max_bytes:
      cut = file_slice.border(file_slice.start + max_bytes)
      return [*chosen, dataclasses.replace(file_slice, stop=cut)]
    max_bytes -= file_slice.size
    chosen.append(file_slice)
  return chosen


def _text(file_slice: FileSlice) -> str:
  try:
    return utf8.text(file_slice.read())
  except NotUTF8 as error:
    at = NotUTF8(file_slice.start + error.offset)
    raise DataError(f"{file_slice.path} ({file_slice.name}) is {at}") from error


def _read(path: str) -> bytes:
  """The text of a file or of standard input, as what trains a tokenizer reads it."""
  stream = opened.stream(path) if path else opened.attached(sys.stdin.buffer)
  with stream as data:
    return data.read()


def _write(path: str, content: bytes) -> None:
  with outputs.writing(path or "-") as file:
    file.write(content)
    file.flush()
