"""looks inside a trained model: jaxmem inspect --workdir DIR --text FILE"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxmem.commands import check, require, workdir
from jaxmem.core import files, outputs
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number, required

# Fewer tokens than this have no past to speak of.
FEWEST = 16
# Bytes of a token; what lies behind so many is not even read from the file.
MOST_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Options:
  """Pictures of gates, memory span, attention and states on a text, and a page of them.

  Most of the time goes into the span: positions x directions reverse passes over the
  text, of the model and of every mixer.

  Attributes:
    workdir: of the run.
    checkpoint: the last one, or the best on held-out text.
    text: a file, read from its beginning.
    tokens: how many are read, the EOS token before the text included.
    recent: the last tokens whose attention is drawn.
    samples: how often the memory is looked at.
    positions: outputs whose influences are measured.
    directions: of each such output; 0 is all of them, exact and slow.
    out: directory of the pictures and the page; the default is WORKDIR/inspect.
  """

  workdir: str = workdir()
  checkpoint: Literal["last", "best"] = "last"
  text: str = required("give a file")
  tokens: int = number(512, at_least=FEWEST)
  recent: int = number(128, at_least=2)
  samples: int = number(64, at_least=1)
  positions: int = number(16, at_least=1)
  directions: int = number(8, at_least=0)
  out: str = ""


def main(argv: list[str]) -> int:
  """`jaxmem inspect`: writes the pictures and `index.html`."""
  require("tyro", "matplotlib")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem inspect")
  out = Path(given.out or Path(given.workdir) / "inspect")
  inputs = {"--text": given.text, "--workdir": given.workdir}
  outputs.refuse_overwrite_in(out, ("index.html", "numbers.json", "*.png"), inputs)
  tokens = _check(given)
  outputs.make_directory(out)
  if not os.access(out, os.W_OK):
    raise UserError(f"cannot write into --out {out}: give another directory")

  from jaxmem.evaluation.inspection import page
  from jaxmem.training.load import load_model

  loaded = load_model(Path(given.workdir), given.checkpoint)
  sections, span = _look(given, loaded, tokens, out)
  text = loaded.tokenizer.decode(tokens[1:]).decode("utf-8", "replace")
  title = f"Inside {Path(given.workdir).absolute().name} at step {loaded.step}"
  index = out / "index.html"
  html = page.render(title, _facts(given, loaded, tokens), text, sections)
  files.write_text(index, html)
  numbers = {s.title: s.table._asdict() for s in sections if s.table}
  files.write_json(out / "numbers.json", numbers)
  pictures = [path for section in sections for path in section.pictures]
  print(
    f"{len(tokens):,} tokens of {given.text}, step {loaded.step}: the last "
    f"{span.tokens(0.9):,} tokens hold 90% of the influence; wrote {index}, "
    f"numbers.json and {len(pictures)} pictures: "
    f"{' '.join(path.name for path in pictures)}"
  )
  return 0


def _look(given: Options, loaded: Any, tokens: np.ndarray, out: Path) -> tuple:
  """The sections, and the span of the model."""
  from jaxmem.evaluation.inspection import findings, inside, span

  model, params = inside.plain(loaded.model), loaded.params
  seen = inside.read(model, params, tokens, given.recent)
  ends, memories = inside.states(model, params, tokens, given.samples)
  at = span.sampled(len(tokens), given.positions)
  layers = span.of_layers(model, params, seen.inputs, at, given.directions)
  whole = span.of_model(model, params, tokens, at, given.directions)
  return [
    *findings.spans(whole, layers, given.directions, len(at), out),
    *findings.decays(seen, out),
    *findings.gates(seen, out),
    *findings.memories(ends, memories, out),
    *findings.attention(seen, len(tokens), out),
  ], whole


def _facts(given: Options, loaded: Any, tokens: np.ndarray):
  from jaxmem.evaluation.inspection.page import Table
  from jaxmem.models.lm import num_params
  from jaxmem.models.pattern import show

  model = loaded.config.model
  rows = [
    ("run", given.workdir),
    ("trained on", loaded.config.task.source),
    ("pattern", show(model.pattern)),
    ("groups", model.num_groups),
    ("d_model", model.d_model),
    ("parameters", num_params(loaded.params)),
    ("tokenizer", loaded.config.task.tokenizer),
    ("text", given.text),
    ("tokens read", len(tokens)),
  ]
  return Table(("", ""), rows)


def _check(given: Options) -> np.ndarray:
  """The ids that are read; before any device work.

  Raises:
    UserError: for the first thing that is missing or out of range.
  """
  from jaxmem.data import sources
  from jaxmem.models import capacity
  from jaxmem.tokenizers import trained
  from jaxmem.training.load import load_config

  check(given)
  config = load_config(Path(given.workdir), given.checkpoint)
  pieces = sources.find(given.text)
  if len(pieces) > 1:
    raise UserError(f"--text {given.text} is {len(pieces)} documents: give one file")
  tokenizer = trained.kept(config.task.tokenizer, Path(given.workdir))
  ids = tokenizer.encode(_beginning(pieces[0], MOST_BYTES * given.tokens))
  tokens = np.r_[tokenizer.eos_id, ids][: given.tokens].astype(np.int32)
  if len(tokens) < FEWEST:
    raise UserError(
      f"{given.text} has {len(ids)} tokens: give a text of at least {FEWEST - 1}"
    )
  limit = capacity.limit_of(config.model)
  if limit is not None:
    remedy = f"read fewer with --tokens {limit.tokens}"
    limit.check(len(tokens), f"the beginning of {given.text}", remedy)
  return tokens


def _beginning(piece: Any, size: int) -> bytes:
  """At most `size` bytes of a document, cut at a character's border."""
  if piece.size > size:
    piece = dataclasses.replace(piece, stop=piece.border(piece.start + size))
  return piece.read()
