"""scores text, or a split: jaxmem eval --workdir DIR|--model NAME --text FILE"""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from jaxmem.commands import ModelOptions, check, current_flags, require
from jaxmem.core import outputs
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import number
from jaxmem.runtime.compilation import compiling


@dataclasses.dataclass(frozen=True)
class Elsewhere:
  """Where the data of a run are now, if they have moved since it was trained.

  Attributes:
    source: replaces task.source of the config.
    heldout: replaces task.heldout.
    test: replaces task.test.
    queries: replaces task.queries.
    relevant: replaces task.relevant.
  """

  source: str = ""
  heldout: str = ""
  test: str = ""
  queries: str = ""
  relevant: str = ""


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
  """Measures bits per byte and per word of text, streamed through a checkpoint.

  Attributes:
    text: a file, a directory, a glob, or stdlib; each file is a document.
    split: train, heldout or test, a part of the run's data, scored by its task's
      metric; tables and pictures go beside `out`, or to `workdir`.
    carry: on carries the memory through each document; off empties it at every segment;
      reread empties it too and first reads the segment before; all does all three.
    segment: tokens after which off and reread forget, 0 for the run's own, or 512.
    rows: documents that are read at once.
    length: tokens of a call; it changes the speed and the memory used, and the numbers
      only by rounding: 16 rows of 512 tokens give those of the report exactly.
    document_length: tokens after which the memory is emptied and a document continues
      as another one; 0 is never.
    out: a file for the numbers, as JSON; a picture NAME.png is drawn beside it, and
      with split a table NAME.md.
    progress: a directory that keeps how far the text was read; after Ctrl-C or SIGTERM
      (exit code 75) the same command continues.
    save_every: seconds between two saves in `progress`.
    task: with split, where the data are now, if they have moved since training.
    twin: also times the same model with full attention for all its memories, and
      projects what this text would cost it.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem eval --workdir runs/quickstart --text book.txt --carry all",
    {
      "The model": ("workdir", "model", "memory"),
      "What is scored, one of both": ("text", "split"),
      "How a text is read": ("carry", "segment", "rows", "length"),
      "What is written": ("out", "progress"),
    },
    words={
      "workdir": "DIR", "model": "NAME", "memory": "MEMORY", "text": "FILE",
      "split": "SPLIT", "out": "FILE",
      "progress": "DIR", "save_every": "SECONDS",
    },
  )  # fmt: skip

  text: str = ""
  split: str = ""
  carry: Literal["on", "off", "reread", "all"] = "on"
  segment: int = number(0, at_least=0)
  rows: int = number(1, at_least=1)
  length: int = number(4096, at_least=1)
  document_length: int = number(0, at_least=0)
  out: str = ""
  progress: str = ""
  save_every: float = number(60.0, above=0, remedy="it is in seconds")
  task: Elsewhere = Elsewhere()
  twin: bool = False


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem eval", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem eval`."""
  options = parse(Options, current_flags(argv), "jaxmem eval")
  require("grain", "tqdm")
  check(options)
  return _split(options) if options.split else _text(options)


def _split(options: Options) -> int:
  """Scores a split of the run's data; see `evaluation.split`."""
  if options.text:
    raise UserError(
      f"--split {options.split} and --text {options.text}: give one of them"
    )
  if options.model:
    raise UserError(
      f"--split {options.split} is a part of a run's data, and --model {options.model} "
      "is no run: give --text FILE"
    )
  if not options.workdir:
    raise UserError("--workdir is missing: give that of a run of `jaxmem train`")
  from jaxmem.evaluation import split  # imports the models: not for --help

  with compiling("the model, to score a split"):
    return split.run(
      Path(options.workdir),
      options.checkpoint,
      options.split,
      options.out,
      _elsewhere(options),
    )


def _text(options: Options) -> int:
  """Scores text; see `evaluation.long_text`."""
  _check_text(options)  # before the imports below, which take seconds
  from jaxmem.data import sources

  documents = sources.find(options.text)
  from jaxmem.evaluation.long_text import score

  # the options of this command have the names of the settings
  names = [field.name for field in dataclasses.fields(score.Settings)]
  values = {name: getattr(options, name) for name in names}
  with compiling("the model, to score text"):
    return score.run(score.Settings(**values), documents, options.find())


def _check_text(options: Options) -> None:
  """Raises UserError for the first option that does not fit the others."""
  if not options.text:
    raise UserError("--text is missing: a file, a directory, a glob, or stdlib")
  if _elsewhere(options):
    raise UserError("--task.source and its like are for --split: text is --text FILE")
  if options.out.endswith(".png"):
    raise UserError(
      f"--out {options.out}: a name for JSON; the picture stands beside it"
    )
  if options.out:
    inputs = {"--text": options.text, "--workdir": options.workdir}
    inputs["--model"] = options.model
    outputs.refuse_overwrite(options.out, inputs)
    # the picture is named after `out`, so it must not replace an input either
    outputs.refuse_overwrite(Path(options.out).with_suffix(".png"), inputs)
  if options.segment and options.carry == "on":
    raise UserError(
      f"--segment {options.segment} is for ways that forget: give --carry off, reread "
      "or all"
    )


def _elsewhere(options: Options) -> dict[str, str]:
  """Maps the dotted keys of moved data to where the data are now."""
  fields = dataclasses.asdict(options.task)
  return {f"task.{name}": source for name, source in fields.items() if source}
