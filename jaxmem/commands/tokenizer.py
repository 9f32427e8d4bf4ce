"""trains and applies a tokenizer: jaxmem tokenizer train|encode|decode ..."""

import dataclasses
import hashlib
import os
import sys
from typing import ClassVar

import numpy as np

from jaxmem.commands import check
from jaxmem.core import command_line, outputs, utf8
from jaxmem.core.command_line import parse
from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.core.extras import require
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import DELAY, Progress, on_interrupt
from jaxmem.core.ranges import number, required
from jaxmem.data import opened, sources
from jaxmem.data.file_slice import FileSlice
from jaxmem.tokenizers import trained


@dataclasses.dataclass(frozen=True)
class Train:
  """Trains a byte-pair model on a source, and writes it as a file of SentencePiece.

  Attributes:
    source: as task.source of a config; not a mixture.
    out: the .model file to write.
    vocab_size: pieces of the model.
    heldout: as task.heldout of a config; it is not read.
    max_bytes: a larger source is sampled.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem tokenizer train stdlib --out code.model --vocab-size 4096",
    {
      "The text": ("source", "heldout", "max_bytes"),
      "The model": ("out", "vocab_size"),
    },
    places=("source",),
    words={"out": "FILE", "heldout": "SOURCE"},
  )

  source: str = required("give a file, a directory, a glob, or stdlib")
  out: str = required("give the .model file to write")
  vocab_size: int = number(8192, at_least=1)
  heldout: str = ""
  max_bytes: int = number(100_000_000, at_least=1)


@dataclasses.dataclass(frozen=True)
class Encode:
  """Turns text into ids, with spaces between.

  Attributes:
    model: a .model, tokenizer.json or .gguf file, byte, or minilm.
    input: a file; without one, standard input.
    out: a file; without one, standard output.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem tokenizer encode byte book.txt --out ids.txt",
    {"What is read and written": ("model", "input", "out")},
    places=("model", "input"),
    words={"out": "FILE"},
  )

  model: str = required("give a .model, tokenizer.json or .gguf file, byte, or minilm")
  input: str = ""
  out: str = ""


@dataclasses.dataclass(frozen=True)
class Decode(Encode):
  """Turns ids, with spaces between, into text.

  Attributes:
    input: a file of ids; without one, standard input.
  """

  PAGE: ClassVar[Page] = Encode.PAGE._replace(
    example="jaxmem tokenizer decode byte ids.txt"
  )


ACTIONS = {"train": Train, "encode": Encode, "decode": Decode}


def forms() -> list[Command]:
  """Returns what the actions of the command take."""
  return [
    describe(f"jaxmem tokenizer {name}", options()) for name, options in ACTIONS.items()
  ]


def main(argv: list[str]) -> int:
  """Runs `jaxmem tokenizer train`, `encode` or `decode`."""
  action, words = command_line.action(forms(), argv)
  args = parse(ACTIONS[action], words, f"jaxmem tokenizer {action}")
  check(args)
  if isinstance(args, Train):
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
  if not isinstance(args, Decode):
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


def _id(word: bytes) -> int:
  """Returns the id that a word spells, or raises ValueError."""
  # int() alone would read "1_000", and fail on thousands of digits
  if not word.removeprefix(b"-").isdigit() or len(word) > 100:
    raise ValueError(f"{word[:40].decode(errors='replace')!r} is no number of an id")
  return int(word)


def _train(args: Train) -> int:
  require("sentencepiece", extra="text")
  from jaxmem.tokenizers import sentencepiece

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
