"""looks inside a model: jaxmem inspect --workdir DIR|--model NAME --text FILE"""

import dataclasses
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxmem.commands import ModelOptions, check, require
from jaxmem.core import files, outputs
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import Progress, on_interrupt
from jaxmem.core.ranges import number, required
from jaxmem.runtime.compilation import compiling

# Fewer tokens than this have no past to speak of.
FEWEST = 16
# No token is longer than this many bytes: it bounds how much of a file is read.
MOST_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
  """Draws gates, memory span, attention and states on a text, and writes a page.

  Most of the time goes into the span: positions x directions reverse passes over the
  text, of the model and of every mixer.

  Attributes:
    text: a file, read from its beginning.
    tokens: how many are read, the EOS token before the text included.
    recent: how many of the last tokens have their attention drawn.
    samples: at how many positions the state is recorded.
    positions: how many outputs have their influences measured.
    directions: random directions of each such output; 0 is all, exact and slow.
    out: the directory of the pictures and the page; the default is WORKDIR/inspect; a
      pretrained model needs one.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem inspect --workdir runs/quickstart --text book.txt",
    {
      "The model": ("workdir", "checkpoint", "model", "memory"),
      "The text": ("text", "tokens"),
      "What is measured": ("recent", "samples", "positions", "directions"),
      "What is written": ("out",),
    },
    words={
      "workdir": "DIR",
      "model": "NAME",
      "memory": "MEMORY",
      "text": "FILE",
      "out": "DIR",
    },
  )

  text: str = required("give a file")
  tokens: int = number(512, at_least=FEWEST)
  recent: int = number(128, at_least=2)
  samples: int = number(64, at_least=1)
  positions: int = number(16, at_least=1)
  directions: int = number(8, at_least=0)
  out: str = ""


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem inspect", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem inspect`: writes the pictures and `index.html`."""
  options = parse(Options, argv, "jaxmem inspect")
  require("grain", "matplotlib")
  if options.model and not options.out:
    raise UserError("--out is missing: give a directory for the page")
  out = Path(options.out or Path(options.workdir) / "inspect")
  inputs = {"--text": options.text, "--workdir": options.workdir}
  inputs["--model"] = options.model
  outputs.refuse_overwrite_in(out, ("index.html", "numbers.json", "*.png"), inputs)
  found, tokens = _check(options)  # fails before the directory is made
  outputs.make_directory(out)
  if not os.access(out, os.W_OK):
    raise UserError(f"cannot write into --out {out}: give another directory")

  from jaxmem.runtime import page

  loaded = found.for_texts(len(tokens)).load()
  with on_interrupt("no page is written: the same command begins again"):
    sections, span = _look(options, loaded, tokens, out)
  text = loaded.tokenizer.decode(tokens).decode("utf-8", "replace")
  title = f"Inside {Path(options.address).absolute().name} at step {loaded.step}"
  index = out / "index.html"
  sections = [page.Section("The text", code=text), *sections]
  html = page.render(title, _facts(options, loaded, tokens), sections)
  files.write_text(index, html)
  numbers = {s.title: s.table._asdict() for s in sections if s.table}
  files.write_json(out / "numbers.json", numbers)
  pictures = [path for section in sections for path in section.pictures]
  print(
    f"{len(tokens):,} tokens of {options.text}, step {loaded.step}: the last "
    f"{span.tokens(0.9):,} tokens hold 90% of the influence; wrote {index}, "
    f"numbers.json and {len(pictures)} pictures: "
    f"{' '.join(path.name for path in pictures)}"
  )
  return 0


def _look(options: Options, loaded: Any, tokens: np.ndarray, out: Path) -> tuple:
  """Returns the sections of the page, and the memory span of the model."""
  from jaxmem.evaluation.inspection import findings, inside, span

  model, params = inside.plain(loaded.model), loaded.params
  with Progress(4, "parts") as progress:
    progress.update(0, "reads the text")
    with compiling("the model, to read the text"):
      traces = inside.read(model, params, tokens, options.recent)
    progress.advance(1, "records states")
    with compiling("the model, to record states"):
      ends, memories = inside.states(model, params, tokens, options.samples)
    progress.advance(1, "measures the span of the mixers")
    positions = span.sampled(len(tokens), options.positions)
    directions = options.directions
    with compiling("a mixer and its gradient, to measure the span"):
      layers = span.of_layers(model, params, traces.inputs, positions, directions)
    progress.advance(1, "measures the span of the model")
    with compiling("the model and its gradient, to measure the span"):
      model_span = span.of_model(model, params, tokens, positions, directions)
    progress.advance()
  return [
    *findings.spans(model_span, layers, directions, len(positions), out),
    *findings.decays(traces, out),
    *findings.gates(traces, out),
    *findings.memories(ends, memories, out),
    *findings.attention(traces, len(tokens), out),
  ], model_span


def _facts(options: Options, loaded: Any, tokens: np.ndarray):
  from jaxmem.models.lm import num_params
  from jaxmem.models.pattern import show
  from jaxmem.runtime.page import Table

  model, run = loaded.model.config, loaded.config
  rows = [("model", options.model)]
  if run is not None:
    rows = [("run", options.workdir), ("trained on", run.task.source)]
  rows += [
    ("pattern", show(model.pattern)),
    ("groups", model.num_groups),
    ("d_model", model.d_model),
    ("parameters", num_params(loaded.params)),
    ("tokenizer", run.task.tokenizer if run else loaded.tokenizer.fingerprint),
    ("text", options.text),
    ("tokens read", len(tokens)),
  ]
  return Table(("", ""), rows)


def _check(options: Options) -> tuple[Any, np.ndarray]:
  """Checks the options; returns the model and the ids to read, before any device work.

  Raises:
    UserError: if an option is missing or out of range, or the text is too short.
  """
  from jaxmem.data import sources
  from jaxmem.models import capacity
  from jaxmem.tokenizers import start_ids

  check(options)
  found = options.find()
  pieces = sources.find(options.text)
  if len(pieces) > 1:
    raise UserError(f"--text {options.text} is {len(pieces)} documents: give one file")
  tokenizer = found.tokenizer
  ids = tokenizer.encode(_beginning(pieces[0], MOST_BYTES * options.tokens))
  # what begins a document, as in training
  tokens = np.r_[start_ids(tokenizer), ids][: options.tokens].astype(np.int32)  # [T]
  if len(tokens) < FEWEST:
    raise UserError(
      f"{options.text} has {len(ids)} tokens: give a text of at least {FEWEST - 1}"
    )
  limit = capacity.limit_of(found.longest)
  if limit is not None:
    remedy = f"read fewer with --tokens {limit.tokens}"
    limit.check(len(tokens), f"the beginning of {options.text}", remedy)
  return found, tokens


def _beginning(piece: Any, size: int) -> bytes:
  """Returns at most `size` bytes of a document, cut between characters."""
  if piece.size > size:
    piece = dataclasses.replace(piece, stop=piece.border(piece.start + size))
  return piece.read()
