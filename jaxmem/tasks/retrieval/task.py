"""Retrieval: an encoder learns vectors that are near for a query and its document.

It learns by InfoNCE with in-batch negatives. Queries are divided into folds; the report
ranks all documents for those of one fold, beside BM25 and the initial encoder.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxmem.core.ranges import affecting, number
from jaxmem.data import DataError, folds, leaks, texts
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, fields, scoring
from jaxmem.tasks import language as languages
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tasks.retrieval import bm25, data, metrics
from jaxmem.tasks.retrieval.data import Passage
from jaxmem.tasks.retrieval.embed import Embedder
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tasks.retrieval.rows import collate, encode, passage_rows
from jaxmem.tokenizers import trained

# Documents of a ranking.
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
    queries: the queries, likewise.
    relevant: the judgements, lines of query, 0, document, relevance.
    by_order: whether judgements number queries by the order of their file.
    fold: "1/5" tests on the first of five folds of the queries, chooses the checkpoint
      by the next one and trains on the others. Equal queries are in one fold, see
      `jaxmem.data.leaks`.
    pairs: which pairs are learned: "judged", a training query and a document that is
      relevant to it; "titles", the title of a document and its text, which needs no
      judgement.
    text: the field of a document that is all of its text, or a template of several:
      "{title}\\n{body}", see `data.template`; empty reads "title" and "text".
    query: the same for a query.
    tokenizer: see `LabelsConfig`, or "minilm".
    segment_length: T, the most tokens that are read of a text.
    batch_size: pairs of a step; the others of a step are the negatives of each.
    temperature: the temperature of the similarities in the loss, > 0.
    language: the language of the texts, such as "de", which decides how BM25 cuts words
      and its stop words; empty detects it, see `tasks.language`.
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
  language: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"

  def check_fields(self) -> None:
    """Raises ValueError if the fold, the language or the titles cannot be read."""
    folds.parse(self.fold, 3)
    languages.code(self.language)
    if self.pairs == "titles" and self.text:
      raise ValueError(
        f"text is {self.text!r}, which has the title in it or leaves it out, and "
        "task.pairs titles learns titles: leave task.text empty, or set task.pairs "
        "judged"
      )


def resolve_model(model: EncoderConfig, config: PassagesConfig) -> EncoderConfig:
  """Returns the model's config with the vocabulary, after checks of both configs.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=True)
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: PassagesConfig) -> TextEmbedder:
  """Makes the model that is trained; see `tasks.make_model`."""
  return TextEmbedder(model, config.temperature)


def packages(config: PassagesConfig, context: TaskContext) -> dict[str, str]:
  """Names the packages that the report needs; see `tasks.packages`."""
  return {"bm25s": "apps", "pytrec_eval": "apps"} if context.eval_size else {}


class RetrievalTask(BaseTask):
  """Queries and documents; see `tasks.EvaluableTask`."""

  metric_name = "nats/pair"
  noun = "queries"

  def __init__(self, config: PassagesConfig, context: TaskContext, model: TextEmbedder):
    """Reads the collection.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    self._all = data.collection(
      c.source, c.queries, c.relevant, c.by_order, _HINT, (c.text, c.query)
    )
    which, num_folds = folds.parse(c.fold, 3)
    self._splits = folds.split(
      self._all.queries,
      which,
      num_folds,
      group=lambda q: q.name,
      what="judged queries",
      key=lambda q: leaks.key(q.full_text),
    )
    self.repeats = self._splits.repeats
    self._documents = {d.name: d for d in self._all.documents}
    pairs = {name: self._pairs(name) for name in ("train", "heldout")}
    passages = (*self._all.documents, *self._splits["train"])
    corpus = [passage.full_text.encode() for passage in passages]
    self._made = self._tokenizer = trained.make(c.tokenizer, corpus)
    sizes = c.segment_length, c.batch_size
    self.rows = passage_rows(
      pairs["train"], self._tokenizer, sizes, context.seed, context.process
    )
    self._count = len(pairs["train"])
    self._heldout = encode(pairs["heldout"], self._tokenizer)
    self._nats = scoring.objective(model)

  def describe(self) -> str:
    """Says how many documents, queries and pairs there are."""
    sizes = [len(self._splits[name]) for name in self.splits]
    return (
      f"{len(self._documents):,} documents, {sizes[0]} queries to train on, {sizes[1]} "
      f"held out, {sizes[2]} to test; {self._count:,} pairs"
      f"{self.repeats.words('queries or titles')}"
    )

  def validation_metric(self, params: Any) -> float:
    """Returns the nats of held-out pairs."""
    # as many negatives as in training, or the nats would not compare
    rows = min(self._config.batch_size, len(self._heldout))
    to_batch = functools.partial(
      collate, tokenizer=self._tokenizer, length=self._config.segment_length
    )
    batches = scoring.batches(self._heldout, rows, to_batch)
    return scoring.mean_loss(functools.partial(self._nats, params), batches)

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Ranks all documents for the queries of a split, beside the baselines."""
    queries, relevant = self._splits[split], self._all.relevant
    ranked, how = {}, baselines.missing("BM25", "bm25s")
    if not how:
      ranked["BM25"], how = self._lexical(queries)
    if self._context.initial_params:
      initial = self._dense(self._context.initial_params(), queries)
      ranked[f"{self._context.init_from}, as it was"] = initial
    ranked["this run"] = self._dense(params, queries)
    scores = {name: metrics.numbers(r, relevant) for name, r in ranked.items()}
    by_query = {name: metrics.by_query(r, relevant) for name, r in ranked.items()}
    numbers = {"split": split, "queries": len(queries)}
    numbers |= {"documents": len(self._documents)} | scores["this run"]
    numbers |= {"beside": scores, "by_query": by_query}
    title = (
      f"{len(queries)} queries ({split}, fold {self._config.fold}) against "
      f"{len(self._documents):,} documents of {self._config.source}"
    )
    numbers["signature"] = signature = metrics.signature()
    others = {name: s["ndcg_10"] for name, s in scores.items() if name != "this run"}
    first = baselines.better("nDCG@10", numbers["ndcg_10"], others)
    notes = ["", f"Scores are {signature}.", how]
    lines = [*first, title, "", *metrics.table(scores), *_differences(by_query), *notes]
    return EvalResult(numbers, lines, {})

  def _pairs(self, split: str) -> list[tuple[str, str, int, int]]:
    """Returns the pairs of a split; equal numbers are of the same query or document."""
    if self._config.pairs == "judged":
      indices = {name: i for i, name in enumerate(self._documents)}
      relevant = self._all.relevant
      pairs = [
        (query.full_text, self._documents[name].full_text, number, indices[name])
        for number, query in enumerate(self._splits[split])
        for name, grade in sorted(metrics.grades(relevant[query.name]).items())
        if grade > 0 and name in indices
      ]
    else:
      pairs = self._titles(split)
    if len(pairs) < 2:
      raise DataError(f"{len(pairs)} pairs ({self._config.pairs}, {split}): give more")
    return pairs

  def _titles(self, split: str) -> list[tuple[str, str, int, int]]:
    """Returns the pairs of titles and texts; every tenth document is held out.

    Documents of equal texts follow the first of them. Training has no title that is a
    query of another split.
    """
    titled = [(n, d) for n, d in enumerate(self._all.documents) if d.title and d.text]
    firsts = leaks.first_of_each([leaks.key(d.text) for _, d in titled])
    is_heldout = [titled[first][0] % 10 == 0 for first in firsts]
    pairs = [
      (d.title, d.text, n, n)
      for (n, d), out in zip(titled, is_heldout, strict=True)
      if out == (split == "heldout")
    ]
    if split == "heldout":
      return pairs
    scored = (q for name in ("heldout", "test") for q in self._splits[name])
    scored_keys = leaks.content_keys(leaks.key(q.full_text) for q in scored)
    pairs, lost = leaks.without(pairs, [leaks.key(p[0]) for p in pairs], scored_keys)
    together = sum(i != first for i, first in enumerate(firsts))
    self.repeats += leaks.Repeats(together, lost)
    return pairs

  def _dense(self, params: Any, queries: list[Passage]) -> dict[str, list[str]]:
    """Ranks the documents by their cosine with each query."""
    embed = Embedder(self._model, params, self._tokenizer, self._config.segment_length)
    # trec_eval puts documents of equal scores in the reverse order of their names
    names = sorted(self._documents, reverse=True)
    documents = embed([self._documents[name].full_text for name in names])  # [N, D]
    scores = embed([q.full_text for q in queries]) @ documents.T  # [Q, N]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]  # [Q, DEPTH]
    return {
      query.name: [names[i] for i in row]
      for query, row in zip(queries, best, strict=True)
    }

  def _lexical(self, queries: list[Passage]) -> tuple[dict[str, list[str]], str]:
    """Ranks the documents by BM25, and says how it cut words."""
    documents = {name: d.full_text for name, d in self._documents.items()}
    query_texts = {q.name: q.full_text for q in queries}
    return bm25.rank(documents, query_texts, DEPTH, self._config.language)


def _differences(by_query: dict[str, dict[str, float]]) -> list[str]:
  """Says how much better the run is than each baseline, in a line for each."""
  ours = by_query["this run"]
  if len(ours) < 2:
    return []
  lines = [""]
  for name, theirs in by_query.items():
    if name != "this run":
      mean, error = metrics.paired(ours, theirs)
      numbers = f"{mean:.3f} +- {error:.3f} (2 s.e., paired by query)"
      lines.append(f"nDCG@10 above {name}: {numbers}")
  return lines


class PassagesPredictor:
  """Maps `{"text": ...}` to `{"vector": [...]}`; see `tasks.Predictor`.

  The text is that of a document or of a query, with its fields joined as in the config.
  """

  # documents and queries have different fields, so no field has a default
  TEXTS = ()

  def __init__(
    self, config: PassagesConfig, model: TextEmbedder, params: Any, workdir: Path
  ):
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    self._embed = Embedder(model, params, self._tokenizer, config.segment_length)

  def check(self, record: dict[str, Any]) -> None:
    """Raises a UserError unless a record has a text."""
    texts.encode(fields.text(record, "text"), self._tokenizer, '"text"')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = self._embed([record["text"] for record in records])
    return [{"vector": [round(float(x), 6) for x in v]} for v in vectors]


Config = PassagesConfig
Task = RetrievalTask
Predictor = PassagesPredictor
