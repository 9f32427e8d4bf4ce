"""finds documents by meaning: jaxmem index build|query ..."""

import argparse
import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from jaxmem.commands import check_numbers
from jaxmem.commands.predict import opened, progress_of_answers
from jaxmem.core.errors import UserError
from jaxmem.core.progress import on_interrupt
from jaxmem.core.ranges import Range


def main(argv: list[str]) -> int:
  """Runs `jaxmem index build` or `jaxmem index query`."""
  args = _parser().parse_args(argv)
  return {"build": _build, "query": _query}[args.action](args)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="jaxmem index")
  actions = parser.add_subparsers(dest="action", required=True)
  build = actions.add_parser("build", help="an index of documents")
  build.add_argument("--input", required=True, help="JSONL of id and text, or TREC XML")
  build.add_argument("--out", required=True, help="the directory to write")
  build.add_argument("--workdir", default="", help="of a run of the config retrieval")
  build.add_argument("--encoder", default="", choices=["minilm"], help="or this one")
  kinds = ["exact", "ivf", "hnsw", "device"]
  build.add_argument(
    "--kind", default="exact", choices=kinds, help="see jaxmem.tasks.retrieval.index"
  )
  build.add_argument(
    "--bad-records",
    default="skip",
    choices=["skip", "stop"],
    help="documents that cannot be read are left out (exit code 2), or end it",
  )
  query = actions.add_parser("query", help="the nearest documents")
  query.add_argument("--index", required=True, help="a directory of index build")
  query.add_argument("--input", default="-", help='JSONL of {"text": ...}, or -')
  query.add_argument("--workdir", default="", help="of the run, if it was moved")
  query.add_argument("--top", type=int, default=10, help="documents a query")
  query.add_argument("--rows", type=int, default=16, help="queries of a call")
  return parser


def _build(args: argparse.Namespace) -> int:
  from jaxmem.core import outputs
  from jaxmem.data import bad_records
  from jaxmem.tasks.retrieval import data, index

  if bool(args.workdir) == bool(args.encoder):
    raise UserError("give --workdir of a run, or --encoder minilm")
  hint = "give JSONL with id and text, or XML with <doc>, <docno> and <text>"
  inputs = {"--input": args.input, "--workdir": args.workdir}
  outputs.refuse_overwrite_in(args.out, index.FILES, inputs)
  # a directory with other files is no index of an earlier call
  outputs.refuse_other_content(args.out, index.FILES[0])
  index.require_packages(args.kind)
  with bad_records.policy(args.bad_records) as skipped:
    documents = data.passages(args.input, hint)
  embed, encoder = _encoder(args.workdir)
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


def _query(args: argparse.Namespace) -> int:
  from jaxmem.evaluation import predict
  from jaxmem.tasks.retrieval import index

  check_numbers(args, top=Range(at_least=1), rows=Range(at_least=1))
  loaded = index.load(Path(args.index))
  saved = loaded.manifest["encoder"]
  if args.workdir and "workdir" not in saved:
    raise UserError(f"the index in {args.index} is of {saved}, and of no run")
  embed, encoder = _encoder(args.workdir or saved.get("workdir", ""))
  # a run may have been moved: its weights, not its path, say whether it is the same
  if encoder | {"workdir": ""} != saved | {"workdir": ""}:
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


def _encoder(workdir: str) -> tuple[Any, dict[str, str]]:
  """Returns the embedder and what identifies it; without a run it is MiniLM."""
  from jaxmem.evaluation import load
  from jaxmem.runtime.fingerprints import fingerprints

  if not workdir:
    return load.minilm().embedder, {"name": "minilm"}
  loaded = load.load(workdir)
  # a query must use the weights that made the index
  weights = json.dumps(fingerprints(loaded.params), sort_keys=True)
  digest = hashlib.sha256(weights.encode()).hexdigest()[:16]
  return loaded.embedder, {"workdir": str(Path(workdir).absolute()), "weights": digest}
