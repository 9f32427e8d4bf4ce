"""Retrieval: an encoder learns that a query and its document belong together.

In-batch negatives, InfoNCE. Queries are divided into folds; those of one fold are asked
at the end, against all documents, beside BM25 and the encoder that the run began from.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from jaxmem import config as configs
from jaxmem import jobs, pretrained
from jaxmem.config import ConfigError
from jaxmem.data import DataError, folds, judged, texts, vocabularies
from jaxmem.data.epochs import once
from jaxmem.data.errors import require
from jaxmem.data.judged import Passage
from jaxmem.data.passage_rows import PassageRows
from jaxmem.errors import UserError
from jaxmem.evals import ranking
from jaxmem.evals.vectors import Embedder
from jaxmem.jobs import Findings, with_made
from jaxmem.jobs.application import Asked
from jaxmem.models.encoder import Encoder, EncoderConfig

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
    source: the documents, see `data.judged.passages`.
    queries: likewise.
    relevant: the judgements, lines of query, 0, document, relevance.
    by_order: judgements number queries by the order of their file.
    fold: "1/5" asks the first of five folds of the queries at the end, holds out the
      next one to choose by, and trains on the others.
    pairs: what belongs together: "judged", a training query and a document that is
      relevant to it; "titles", the title of a document and its text, which needs no
      judgement.
    tokenizer: see `LabelsConfig`, or "minilm".
    segment_length: T, tokens that are read of a text.
    batch_size: pairs of a step; each has the others for negatives.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "data/documents.jsonl"
  queries: str = "data/queries.jsonl"
  relevant: str = "data/relevant.txt"
  by_order: bool = False
  fold: str = "1/5"
  pairs: Literal["judged", "titles"] = "judged"
  tokenizer: str = "words:8000"
  segment_length: int = 128
  batch_size: int = 32
  bad_records: Literal["stop", "skip"] = "stop"


def fit(model: EncoderConfig, config: PassagesConfig) -> EncoderConfig:
  """The model's config with the vocabulary, checked.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  try:
    folds.parse(config.fold, 3)
  except ValueError as error:
    raise ConfigError(f"data.{error}") from error
  jobs.check_encoder(model, "embedding", config.segment_length)
  return with_made(model, config.tokenizer, hidden=True)


class PassagesJob(Asked):
  """Queries and documents; see `jobs.Application`."""

  measure = "nats/pair"
  things = "queries"

  def __init__(self, config: configs.Config, model: Encoder):
    """Reads the collection.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._data = config.data
    self._config, self._model = config, model
    self._all = judged.collection(c.source, c.queries, c.relevant, c.by_order, _HINT)
    self._splits = folds.split(
      self._all.queries, *folds.parse(c.fold, 3), lambda q: q.name, "judged queries"
    )
    self._documents = {d.name: d for d in self._all.documents}
    pairs = {name: self._pairs(name) for name in ("train", "heldout")}
    every = [p.whole.encode() for p in (*self._all.documents, *self._splits["train"])]
    self._made = self._tokenizer = vocabularies.make(c.tokenizer, every)
    sizes = c.segment_length, c.batch_size
    process = jax.process_index(), jax.process_count()
    rows = lambda name, *which: PassageRows(
      pairs[name], self._tokenizer, sizes, config.seed, *which
    )
    self.rows, self._held = rows("train", process), rows("heldout")
    self._counts = {name: len(some) for name, some in pairs.items()}
    self._nats = jax.jit(
      lambda params, batch: model.apply(
        {"params": params}, batch, (), method="objective"
      )
    )

  def introduction(self) -> str:
    sizes = [len(self._splits[name]) for name in self.splits]
    return (
      f"{len(self._documents):,} documents, {sizes[0]} queries to train on, {sizes[1]} "
      f"held out, {sizes[2]} to ask; {self._counts['train']:,} pairs"
    )

  def score(self, params: Any) -> float:
    """Nats of held-out pairs, each in a batch of as many as in training."""
    rows, found = min(self._data.batch_size, self._counts["heldout"]), []
    for items, real in once(self._counts["heldout"], rows):
      batch = self._held.batch(items)
      batch["weights"][real:] = 0
      found.append(np.asarray(self._nats(params, batch)[0])[:real])
    return float(np.concatenate(found).mean())

  def findings(self, params: Any, split: str) -> Findings:
    """Rankings of all documents for the queries of a split."""
    asked = self._splits[split]
    rows = {"BM25": self._lexical(asked)}
    if self._config.start_from:
      begun = pretrained.parameters(self._config.start_from)
      rows[f"{self._config.start_from}, as it was"] = self._dense(begun, asked)
    rows["this run"] = self._dense(params, asked)
    found = {n: ranking.numbers(r, self._all.relevant) for n, r in rows.items()}
    each = {n: ranking.by_query(r, self._all.relevant) for n, r in rows.items()}
    numbers = {"split": split, "queries": len(asked), "documents": len(self._documents)}
    numbers |= found["this run"] | {"beside": found, "by_query": each}
    title = (
      f"{len(asked)} queries ({split}, fold {self._data.fold}) against "
      f"{len(self._documents):,} documents of {self._data.source}"
    )
    return Findings(numbers, [title, "", *ranking.table(found), *_apart(each)], {})

  def _pairs(self, split: str) -> list[tuple[str, str, int, int]]:
    """Texts that belong together, with the number of each."""
    if self._data.pairs == "judged":
      places = {name: i for i, name in enumerate(self._documents)}
      found = [
        (query.whole, self._documents[name].whole, number, places[name])
        for number, query in enumerate(self._splits[split])
        for name in sorted(self._all.relevant[query.name])
        if name in places  # a document may be judged and missing
      ]
    else:
      every = enumerate(self._all.documents)
      held = {"heldout": lambda n: n % 10 == 0, "train": lambda n: n % 10 > 0}[split]
      whole = [(n, d) for n, d in every if d.title and d.text and held(n)]
      found = [(d.title, d.text, n, n) for n, d in whole]
    if len(found) < 2:
      raise DataError(f"{len(found)} pairs ({self._data.pairs}, {split}): give more")
    return found

  def _dense(self, params: Any, asked: list[Passage]) -> dict[str, list[str]]:
    """The nearest documents to each query."""
    given = self._model, params, self._tokenizer, self._data.segment_length
    embed = Embedder(*given)
    documents = embed([d.whole for d in self._all.documents])
    scores = embed([q.whole for q in asked]) @ documents.T
    names = [d.name for d in self._all.documents]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return {q.name: [names[i] for i in row] for q, row in zip(asked, best, strict=True)}

  def _lexical(self, asked: list[Passage]) -> dict[str, list[str]]:
    """BM25 by bm25s, English stop words left out."""
    require("bm25s", extra="apps")
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it says what it does

    cut = lambda some: bm25s.tokenize(
      [p.whole for p in some], stopwords="en", show_progress=False
    )
    index = bm25s.BM25()
    index.index(cut(self._all.documents), show_progress=False)
    depth = min(DEPTH, len(self._documents))
    best, _ = index.retrieve(cut(asked), k=depth, show_progress=False)
    names = [d.name for d in self._all.documents]
    return {q.name: [names[i] for i in row] for q, row in zip(asked, best, strict=True)}


def _apart(each: dict[str, dict[str, float]]) -> list[str]:
  """How much better the run is than the others, a line each."""
  ours = each["this run"]
  if len(ours) < 2:
    return []
  others = [name for name in each if name != "this run"]
  apart = {name: ranking.paired(ours, each[name]) for name in others}
  return [""] + [
    f"nDCG@10 above {name}: {mean:.3f} +- {error:.3f} (2 s.e., paired by query)"
    for name, (mean, error) in apart.items()
  ]


class PassagesPredictor:
  """`{"text": ...}` to `{"vector": [...]}`; see `jobs.Predictor`."""

  def __init__(
    self, config: configs.Config, model: Encoder, params: Any, workdir: Path
  ):
    self._tokenizer = vocabularies.kept(config.data.tokenizer, workdir)
    self._embed = Embedder(model, params, self._tokenizer, config.data.segment_length)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text."""
    text = record.get("text")
    if not isinstance(text, str) or not text.strip():
      raise UserError(f'"text" is {text!r}: a text expected')
    texts.encode(text, self._tokenizer, '"text"')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = self._embed([record["text"] for record in records])
    return [{"vector": [round(float(x), 6) for x in v]} for v in vectors]


Config = PassagesConfig
Job = PassagesJob
Predictor = PassagesPredictor
