"""trains and applies a tokenizer: jaxmem tokenizer train|encode|decode ..."""

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
from jaxmem.core.progress import DELAY, Progress, on_interrupt
from jaxmem.core.ranges import Range
from jaxmem.data import opened, sources
from jaxmem.data.file_slice import FileSlice
from jaxmem.tokenizers import trained


def main(argv: list[str]) -> int:
  """Runs `jaxmem tokenizer train`, `encode` or `decode`."""
  args = _parser().parse_args(argv)
  if args.action == "train":
    return _train(args)
  inputs = {"the input": args.input or "-", "the model": args.model}
  outputs.refuse_overwrite(args.out or "-", inputs)
  try:
    tokenizer = trained.get(args.model)
  except DataError:
    raise
  except ValueError as error:
    raise DataError(str(error)) from error
  name = args.input or "standard input"
  content = _read(args.input)
  if args.action == "encode":
    try:
      ids = tokenizer.encode(content)
    except NotUTF8 as error:
      raise DataError(f"{name} is {error}") from error
    _write(args.out, (" ".join(map(str, ids.tolist())) + "\n").encode())
    return 0
  try:
    text = tokenizer.decode(np.array([_id(word) for word in content.split()]))
  except ValueError as error:
    raise DataError(f"{name} does not hold ids of {args.model}: {error}") from error
  _write(args.out, text)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="jaxmem tokenizer")
  actions = parser.add_subparsers(dest="action", required=True)
  train = actions.add_parser("train", help="train a byte-pair model on a source")
  train.add_argument("source", help="as task.source of a config; not a mixture")
  train.add_argument("--out", required=True, help="the .model file to write")
  train.add_argument("--vocab-size", type=int, default=8192, help="pieces")
  train.add_argument("--heldout", default="", help="as task.heldout; it is not read")
  train.add_argument(
    "--max-bytes", type=int, default=100_000_000, help="a larger source is sampled"
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
  """Returns the id that a word spells, or raises ValueError."""
  # int() alone would read "1_000", and fail on thousands of digits
  if not word.removeprefix(b"-").isdigit() or len(word) > 100:
    raise ValueError(f"{word[:40].decode(errors='replace')!r} is no number of an id")
  return int(word)


def _train(args: argparse.Namespace) -> int:
  require("sentencepiece", extra="text")
  from jaxmem.tokenizers import sentencepiece

  check_numbers(args, vocab_size=Range(at_least=1), max_bytes=Range(at_least=1))
  if not args.out.endswith(".model"):
    raise DataError(f"--out {args.out} does not end in .model: give a name that does")
  inputs = {"the source": args.source, "--heldout": args.heldout}
  outputs.refuse_overwrite(args.out, inputs)
  # Only the training side: held-out text must not shape the pieces.
  slices = sources.split(args.source, args.heldout)["train"]
  chosen = _sample(slices, args.max_bytes)
  size, total = (sum(p.size for p in part) for part in (chosen, slices))
  with on_interrupt(f"{args.out} is not written: the same command begins again"):
    texts = _texts(chosen, size)
    print(f"trains {args.vocab_size:,} pieces on {size:,} bytes", file=sys.stderr)
    model = sentencepiece.train(texts, args.vocab_size)
  tokenizer = sentencepiece.SentencePieceTokenizer(model, args.out)
  _write(args.out, model)
  print(
    f"{args.out}: {tokenizer.vocab_size:,} pieces from {size:,} of {total:,} bytes, "
    f"fingerprint {tokenizer.fingerprint[:15]}"
  )
  return 0


def _sample(slices: list[FileSlice], max_bytes: int) -> list[FileSlice]:
  """Returns documents in the order of a hash of their names, up to `max_bytes`.

  The document that passes the limit is cut between characters.
  """
  if sum(file_slice.size for file_slice in slices) <= max_bytes:
    return slices
  chosen = []
  # an order that no directory listing decides, so that the sample is reproducible
  for file_slice in sorted(
    slices, key=lambda p: hashlib.sha256(os.fsencode(p.name)).digest()
  ):
    if file_slice.size >= max_bytes:
      cut = file_slice.border(file_slice.start + max_bytes)
      return [*chosen, dataclasses.replace(file_slice, stop=cut)]
    max_bytes -= file_slice.size
    chosen.append(file_slice)
  return chosen


def _texts(slices: list[FileSlice], size: int) -> list[str]:
  """Returns the texts of documents of `size` bytes in all."""
  texts = []
  with Progress(size, "bytes", delay=DELAY) as progress:
    for file_slice in slices:
      texts.append(_text(file_slice))
      progress.advance(file_slice.size)
  return texts


def _text(file_slice: FileSlice) -> str:
  try:
    return utf8.text(file_slice.read())
  except NotUTF8 as error:
    at = NotUTF8(file_slice.start + error.offset)
    raise DataError(f"{file_slice.path} ({file_slice.name}) is {at}") from error


def _read(path: str) -> bytes:
  """Reads a file or standard input, decompressed as sources of training are."""
  stream = opened.stream(path) if path else opened.attached(sys.stdin.buffer)
  with stream as data:
    return data.read()


def _write(path: str, content: bytes) -> None:
  with outputs.writing(path or "-") as file:
    file.write(content)
    file.flush()  # a full disk is an error here, not at exit
