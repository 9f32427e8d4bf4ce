"""Retrieval: an encoder learns that a query and its document belong together.

In-batch negatives, InfoNCE. Queries are divided into folds; those of one fold are asked
at the end, against all documents, beside BM25 and the encoder that the run began from.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxmem.core.errors import ConfigError
from jaxmem.core.ranges import number
from jaxmem.data import DataError, folds, leaks, texts
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, fields, scoring
from jaxmem.tasks import language as languages
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tasks.retrieval import bm25, data, metrics
from jaxmem.tasks.retrieval.data import Passage
from jaxmem.tasks.retrieval.embed import Embedder
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tasks.retrieval.rows import collate, encode, passage_rows
from jaxmem.tokenizers import trained

# Documents that a ranking has.
DEPTH = 100
_HINT = (
  "give documents and queries as JSONL with id and text, or TREC's XML, and judgements "
  "as lines of query, 0, document, relevance; Cranfield is at "
  "https://github.com/oussbenk/cranfield-trec-dataset"
)


@dataclasses.dataclass(frozen=True)
class PassagesConfig:
  """A collection of documents and judged queries.

  Attributes:
    source: the documents, see `tasks.retrieval.data.passages`.
    queries: likewise.
    relevant: the judgements, lines of query, 0, document, relevance.
    by_order: judgements number queries by the order of their file.
    fold: "1/5" asks the first of five folds of the queries at the end, holds out the
      next one to choose by, and trains on the others. Equal queries are in one fold,
      see `jaxmem.data.leaks`.
    pairs: what belongs together: "judged", a training query and a document that is
      relevant to it; "titles", the title of a document and its text, which needs no
      judgement.
    text: the field of a document that is all of its text, or a template of several:
      "{title}\\n{body}", see `data.template`; empty is "text" behind "title".
    query: likewise of a query.
    tokenizer: see `LabelsConfig`, or "minilm".
    segment_length: T, tokens that are read of a text.
    batch_size: pairs of a step; each has the others for negatives.
    temperature: of the similarities in the loss, > 0.
    language: of the texts, such as "de": decides how BM25 cuts words, and its stop
      words; empty is decided by them, see `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "data/documents.jsonl"
  queries: str = "data/queries.jsonl"
  relevant: str = "data/relevant.txt"
  by_order: bool = False
  fold: str = "1/5"
  pairs: Literal["judged", "titles"] = "judged"
  text: str = ""
  query: str = ""
  tokenizer: str = "words:8000"
  segment_length: int = number(128, at_least=1)
  batch_size: int = number(32, at_least=1)
  temperature: float = number(0.05, above=0)
  language: str = ""
  bad_records: Literal["stop", "skip"] = "stop"


def fit(model: EncoderConfig, config: PassagesConfig) -> EncoderConfig:
  """The model's config with the vocabulary, checked.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  try:
    folds.parse(config.fold, 3)
    languages.code(config.language)
  except ValueError as error:
    raise ConfigError(f"task.{error}") from error
  if config.pairs == "titles" and config.text:
    raise ConfigError(
      f"task.text is {config.text!r}, which has the title in it or leaves it out, and "
      "task.pairs titles learns titles: leave task.text empty, or set task.pairs judged"
    )
  check_encoder(model, config.segment_length, windows=True)
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: PassagesConfig) -> TextEmbedder:
  """What is trained; see `tasks.make_model`."""
  return TextEmbedder(model, config.temperature)


def packages(config: PassagesConfig, context: TaskContext) -> dict[str, str]:
  """For the report; see `tasks.packages`."""
  return {"bm25s": "apps", "pytrec_eval": "apps"} if context.eval_size else {}


class PassagesJob(Asked):
  """Queries and documents; see `tasks.Application`."""

  measure = "nats/pair"
  things = "queries"

  def __init__(self, config: PassagesConfig, context: TaskContext, model: TextEmbedder):
    """Reads the collection.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    files = c.source, c.queries, c.relevant
    self._all = data.collection(*files, c.by_order, _HINT, (c.text, c.query))
    self._splits = folds.split(
      self._all.queries,
      *folds.parse(c.fold, 3),
      lambda q: q.name,
      "judged queries",
      lambda q: leaks.key(q.whole),
    )
    self.repeats = self._splits.repeats
    self._documents = {d.name: d for d in self._all.documents}
    pairs = {name: self._pairs(name) for name in ("train", "heldout")}
    every = [p.whole.encode() for p in (*self._all.documents, *self._splits["train"])]
    self._made = self._tokenizer = trained.make(c.tokenizer, every)
    sizes = c.segment_length, c.batch_size
    process = context.process
    self.rows = passage_rows(
      pairs["train"], self._tokenizer, sizes, context.seed, process
    )
    self._count, self._held = len(pairs["train"]), encode(pairs["heldout"], self._made)
    self._nats = scoring.objective(model)

  def introduction(self) -> str:
    sizes = [len(self._splits[name]) for name in self.splits]
    return (
      f"{len(self._documents):,} documents, {sizes[0]} queries to train on, {sizes[1]} "
      f"held out, {sizes[2]} to ask; {self._count:,} pairs"
      f"{self.repeats.words('queries or titles')}"
    )

  def score(self, params: Any) -> float:
    """Nats of held-out pairs, each in a batch of as many as in training."""
    rows, length = (
      min(self._config.batch_size, len(self._held)),
      self._config.segment_length,
    )
    pairs = lambda some: collate(some, self._tokenizer, length)
    batches = scoring.batches(self._held, rows, pairs)
    return scoring.mean_loss(lambda batch: self._nats(params, batch), batches)

  def findings(self, params: Any, split: str) -> Findings:
    """Rankings of all documents for the queries of a split."""
    asked = self._splits[split]
    rows, how = {}, baselines.missing("BM25", "bm25s")
    if not how:
      rows["BM25"], how = self._lexical(asked)
    if self._context.initial_params:
      begun = self._context.initial_params()
      rows[f"{self._context.init_from}, as it was"] = self._dense(begun, asked)
    rows["this run"] = self._dense(params, asked)
    found = {n: metrics.numbers(r, self._all.relevant) for n, r in rows.items()}
    each = {n: metrics.by_query(r, self._all.relevant) for n, r in rows.items()}
    numbers = {"split": split, "queries": len(asked), "documents": len(self._documents)}
    numbers |= found["this run"] | {"beside": found, "by_query": each}
    title = (
      f"{len(asked)} queries ({split}, fold {self._config.fold}) against "
      f"{len(self._documents):,} documents of {self._config.source}"
    )
    numbers["signature"] = signature = metrics.signature()
    others = {n: f["ndcg_10"] for n, f in found.items() if n != "this run"}
    first = baselines.better("nDCG@10", numbers["ndcg_10"], others)
    notes = ["", f"Scores are {signature}.", how]
    lines = [*first, title, "", *metrics.table(found), *_apart(each), *notes]
    return Findings(numbers, lines, {})

  def _pairs(self, split: str) -> list[tuple[str, str, int, int]]:
    """Texts that belong together, with the number of each."""
    if self._config.pairs == "judged":
      places = {name: i for i, name in enumerate(self._documents)}
      relevant = self._all.relevant
      found = [
        (query.whole, self._documents[name].whole, number, places[name])
        for number, query in enumerate(self._splits[split])
        for name, grade in sorted(metrics.grades(relevant[query.name]).items())
        if grade > 0 and name in places
      ]
    else:
      found = self._titles(split)
    if len(found) < 2:
      raise DataError(f"{len(found)} pairs ({self._config.pairs}, {split}): give more")
    return found

  def _titles(self, split: str) -> list[tuple[str, str, int, int]]:
    """Titles and their texts, as `_pairs`: every tenth document is held out.

    Equal texts stand with the first of them. Titles that are queries to be asked are
    not trained on.
    """
    whole = [(n, d) for n, d in enumerate(self._all.documents) if d.title and d.text]
    firsts = leaks.first_of_each([leaks.key(d.text) for _, d in whole])
    held = [whole[first][0] % 10 == 0 for first in firsts]
    pairs = [
      (d.title, d.text, n, n)
      for (n, d), out in zip(whole, held, strict=True)
      if out == (split == "heldout")
    ]
    if split == "heldout":
      return pairs
    asked = (q for name in ("heldout", "test") for q in self._splits[name])
    taken = leaks.content_keys(leaks.key(q.whole) for q in asked)
    kept, lost = leaks.without(pairs, [leaks.key(p[0]) for p in pairs], taken)
    together = sum(i != first for i, first in enumerate(firsts))
    self.repeats += leaks.Repeats(together, lost)
    return kept

  def _dense(self, params: Any, asked: list[Passage]) -> dict[str, list[str]]:
    """The nearest documents to each query."""
    given = self._model, params, self._tokenizer, self._config.segment_length
    embed = Embedder(*given)
    # as trec_eval: equal scores stand in the reverse order of their names
    names = sorted(self._documents, reverse=True)
    documents = embed([self._documents[name].whole for name in names])
    scores = embed([q.whole for q in asked]) @ documents.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return {q.name: [names[i] for i in row] for q, row in zip(asked, best, strict=True)}

  def _lexical(self, asked: list[Passage]) -> tuple[dict[str, list[str]], str]:
    """BM25's rankings, and how it cut words."""
    documents = {name: d.whole for name, d in self._documents.items()}
    queries = {q.name: q.whole for q in asked}
    return bm25.rank(documents, queries, DEPTH, self._config.language)


def _apart(each: dict[str, dict[str, float]]) -> list[str]:
  """How much better the run is than the others, a line each."""
  ours = each["this run"]
  if len(ours) < 2:
    return []
  others = [name for name in each if name != "this run"]
  apart = {name: metrics.paired(ours, each[name]) for name in others}
  return [""] + [
    f"nDCG@10 above {name}: {mean:.3f} +- {error:.3f} (2 s.e., paired by query)"
    for name, (mean, error) in apart.items()
  ]


class PassagesPredictor:
  """`{"text": ...}` to `{"vector": [...]}`; see `tasks.Predictor`.

  The text is that of a document or of a query, its fields joined as in the config.
  """

  # documents and queries have fields of their own, so that none is filled
  TEXTS = ()

  def __init__(
    self, config: PassagesConfig, model: TextEmbedder, params: Any, workdir: Path
  ):
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    self._embed = Embedder(model, params, self._tokenizer, config.segment_length)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text."""
    texts.encode(fields.text(record, "text"), self._tokenizer, '"text"')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = self._embed([record["text"] for record in records])
    return [{"vector": [round(float(x), 6) for x in v]} for v in vectors]


Config = PassagesConfig
Job = PassagesJob
Predictor = PassagesPredictor
