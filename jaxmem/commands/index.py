"""finds documents by meaning: jaxmem index build|query ..."""

import argparse
import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from jaxmem.commands import check_numbers
from jaxmem.commands.predict import opened
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import Range


def main(argv: list[str]) -> int:
  """`jaxmem index`."""
  given = _parser().parse_args(argv)
  return {"build": _build, "query": _query}[given.action](given)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="jaxmem index")
  actions = parser.add_subparsers(dest="action", required=True)
  build = actions.add_parser("build", help="an index of documents")
  build.add_argument("--input", required=True, help="JSONL of id and text, or TREC XML")
  build.add_argument("--out", required=True, help="the directory to write")
  build.add_argument("--workdir", default="", help="of a run of configs/retrieval.py")
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
  query.add_argument("--rows", type=int, default=16, help="queries asked at once")
  return parser


def _build(given: argparse.Namespace) -> int:
  from jaxmem.core import outputs
  from jaxmem.data import bad_records
  from jaxmem.tasks.retrieval import data, index

  if bool(given.workdir) == bool(given.encoder):
    raise UserError("give --workdir of a run, or --encoder minilm")
  hint = "give JSONL with id and text, or XML with <doc>, <docno> and <text>"
  inputs = {"--input": given.input, "--workdir": given.workdir}
  outputs.refuse_overwrite_in(given.out, index.FILES, inputs)
  outputs.refuse_other_content(given.out, index.FILES[0])
  index.require_packages(given.kind)
  with bad_records.policy(given.bad_records) as skipped:
    documents = data.passages(given.input, hint)
  embed, encoder = _encoder(given.workdir)
  documents, bad = _readable(documents, embed, given.bad_records)
  vectors = embed([d.full_text for d in documents])
  names = [d.name for d in documents]
  made = index.build(Path(given.out), names, vectors, given.kind, encoder)
  print(
    f"{len(names):,} documents, {made.manifest['dimensions']} numbers each, "
    f"{made.manifest['kind']}, in {given.out}"
  )
  return 2 if skipped or bad else 0


def _readable(documents: list, embed: Any, policy: str) -> tuple[list, int]:
  """The documents that the encoder can read, and how many it cannot.

  Raises:
    UserError: for the first of these where bad records stop, or if none is left.
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


def _query(given: argparse.Namespace) -> int:
  from jaxmem.evaluation import predict
  from jaxmem.tasks.retrieval import index

  check_numbers(given, top=Range(at_least=1), rows=Range(at_least=1))
  found = index.load(Path(given.index))
  saved = found.manifest["encoder"]
  if given.workdir and "workdir" not in saved:
    raise UserError(f"the index in {given.index} is of {saved}, and of no run")
  embed, encoder = _encoder(given.workdir or saved.get("workdir", ""))
  # a run may have been moved; its weights say whether it is the same
  own = lambda encoder: {k: v for k, v in encoder.items() if k != "workdir"}
  if own(encoder) != own(saved):
    raise UserError(
      f"the index in {given.index} is of the encoder {saved}, which is now {encoder}: "
      "build it again"
    )
  with contextlib.ExitStack() as stack:
    lines = opened(given.input, stack)
    finder = Finder(embed, found, given.top)
    bad = predict.write(lines, finder, given.rows, sys.stdout.buffer)
  return 2 if bad else 0


class Finder:
  """`{"text": ...}` to `{"found": [{"id", "score"}, ...]}`; see `tasks.Predictor`."""

  def __init__(self, embed: Any, index: Any, top: int):
    self._embed, self._index, self._top = embed, index, top

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text."""
    from jaxmem.tasks import fields

    fields.text(record, "text")

  def __call__(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = self._embed([record["text"] for record in records])
    show = lambda row: [{"id": n, "score": round(s, 6)} for n, s in row]
    return [{"found": show(row)} for row in self._index.query(vectors, self._top)]


def _encoder(workdir: str) -> tuple[Any, dict[str, str]]:
  """What makes vectors, and what it is: MiniLM without a run."""
  from jaxmem.evaluation import load
  from jaxmem.runtime.fingerprints import fingerprints

  if not workdir:
    return load.minilm().embedder, {"name": "minilm"}
  loaded = load.load(workdir)
  weights = json.dumps(fingerprints(loaded.params), sort_keys=True)
  mark = hashlib.sha256(weights.encode()).hexdigest()[:16]
  return loaded.embedder, {"workdir": str(Path(workdir).absolute()), "weights": mark}
