"""Metrics of rankings: nDCG, recall, reciprocal rank, average precision.

All are computed by trec_eval, through pytrec_eval. Relevant documents are a mapping of
documents to grades; in a set or a list each document has grade 1. The gain of nDCG is
the grade; for the other metrics a document of grade 1 or more is relevant. Judged
documents that the collection lacks count: nothing can find them, and the best order has
them.

A ranking is a list of documents, the best first, each once, or a mapping of documents
to scores; documents of equal scores (in float32) are in the reverse order of their
names.

Source: Jarvelin and Kekalainen 2002, ACM TOIS 20(4), for nDCG.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

import numpy as np

from jaxmem.core.extras import require
from jaxmem.tasks.retrieval import data

Relevant = Mapping[str, int] | Iterable[str]
Ranked = Sequence[str] | Mapping[str, float]
# Names of the numbers -> trec_eval's measures.
MEASURES = {
  "ndcg_10": "ndcg_cut_10",
  "recall_100": "recall_100",
  "mrr": "recip_rank",
  "map": "map",
}


def grades(relevant: Relevant) -> dict[str, int]:
  """Returns document -> grade; documents without a grade have 1.

  Raises:
    ValueError: if a grade is no whole number of at most `data.MOST`, because trec_eval
      has a table of all grades up to the highest one.
  """
  if not isinstance(relevant, Mapping):
    return dict.fromkeys(relevant, 1)
  for name, grade in relevant.items():
    if grade != grade or grade % 1 or abs(grade) > data.MOST:
      raise ValueError(
        f"document {name!r} has the grade {grade!r}: a whole number of at most "
        f"{data.MOST:,} expected"
      )
  return {name: int(grade) for name, grade in relevant.items()}


def ndcg(ranked: Ranked, relevant: Relevant, depth: int) -> float:
  """Returns the normalised discounted cumulative gain.

  DCG(ranked) / DCG(best order),   DCG = sum_{i <= depth} grade_i / log2(i + 1)
  """
  return _measure(f"ndcg_cut_{depth}", ranked, relevant)


def recall(ranked: Ranked, relevant: Relevant, depth: int) -> float:
  """Returns the share of relevant documents that are among the first `depth`."""
  return _measure(f"recall_{depth}", ranked, relevant)


def reciprocal_rank(ranked: Ranked, relevant: Relevant) -> float:
  """Returns 1 / rank of the first relevant document, 0 if there is none."""
  return _measure("recip_rank", ranked, relevant)


def average_precision(ranked: Ranked, relevant: Relevant) -> float:
  """Returns the mean over relevant documents of the precision at their rank.

  The precision of a document that is not ranked is 0.
  """
  return _measure("map", ranked, relevant)


def numbers(
  ranked: Mapping[str, Ranked], relevant: Mapping[str, Relevant]
) -> dict[str, float]:
  """Returns the means over judged queries of nDCG@10, recall@100, MRR and MAP.

  As in trec_eval a query that nobody judged does not count, and one whose judged
  documents are all irrelevant scores 0. Without any judged query all are NaN.
  """
  scores = evaluate(ranked, relevant, MEASURES.values())
  if not scores:
    return dict.fromkeys(MEASURES, float("nan"))
  return {
    ours: float(np.mean([row[theirs] for row in scores.values()]))
    for ours, theirs in MEASURES.items()
  }


def by_query(
  ranked: Mapping[str, Ranked], relevant: Mapping[str, Relevant]
) -> dict[str, float]:
  """Returns the nDCG@10 of each judged query."""
  scores = evaluate(ranked, relevant, ["ndcg_cut_10"])
  return {query: row["ndcg_cut_10"] for query, row in scores.items()}


def evaluate(
  ranked: Mapping[str, Ranked],
  relevant: Mapping[str, Relevant],
  measures: Iterable[str],
) -> dict[str, dict[str, float]]:
  """Returns query -> measure -> value, for the judged queries.

  Args:
    ranked: query -> ranking; an empty ranking scores 0.
    relevant: query -> relevant documents.
    measures: names as trec_eval prints them, such as "ndcg_cut_10".

  Raises:
    ValueError: if a ranking has a document twice.
  """
  require("pytrec_eval", extra="apps")
  import pytrec_eval

  graded = {query: grades(relevant[query]) for query in ranked if query in relevant}
  runs = {query: _scores(query, ranked[query]) for query in graded}
  # pytrec_eval names a measure by "ndcg_cut.10" and prints it as "ndcg_cut_10"
  names = {name: _parameter(name) for name in measures}
  # pytrec_eval has no entry for a query without judgements or without a ranking
  judged = {query: some for query, some in graded.items() if some and runs[query]}
  scores = {}
  if judged:
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {*names.values()})
    scores = evaluator.evaluate({query: runs[query] for query in judged})
  zeros = dict.fromkeys(names, 0.0)
  return {query: scores.get(query, zeros) for query in graded}


def signature() -> str:
  """Says in a report what computed the numbers."""
  return (
    "trec_eval's ndcg_cut_10 (gain: grade), recall_100, recip_rank and map (relevant: "
    "grade 1 or more), judged documents that are not in the collection counted, by "
    f"pytrec-eval-terrier {version('pytrec-eval-terrier')}"
  )


def paired(ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float]:
  """Returns the mean difference of two rankings, and two standard errors of it.

  Args:
    ours: query -> score, of two queries at least.
    theirs: the scores of the other ranking for the same queries.
  """
  differences = np.array([ours[q] - theirs[q] for q in ours])  # [Q]
  error = 2 * differences.std(ddof=1) / np.sqrt(len(differences))
  return float(differences.mean()), float(error)


def table(rows: dict[str, dict[str, float]]) -> list[str]:
  """Returns a Markdown table of name -> numbers, a row for each way of ranking."""
  lines = ["| | nDCG@10 | recall@100 | MRR | MAP |", "|---|--:|--:|--:|--:|"]
  for name, scores in rows.items():
    cells = [name, *(f"{score:.3f}" for score in scores.values())]
    lines.append(f"| {' | '.join(cells)} |")
  return lines


def _measure(name: str, ranked: Ranked, relevant: Relevant) -> float:
  """Returns one measure of one query."""
  if name.endswith("_0") or "_-" in name:  # trec_eval would end the process
    raise ValueError(f"{name}: a depth of 1 at least expected")
  return evaluate({"": ranked}, {"": relevant}, [name])[""][name]


def _parameter(measure: str) -> str:
  """Returns the name by which pytrec_eval is asked for a measure."""
  head, _, last = measure.rpartition("_")
  return f"{head}.{last}" if last.isdigit() else measure


def _scores(query: str, ranked: Ranked) -> dict[str, float]:
  """Returns document -> score of a ranking."""
  for name in ranked:
    if not name.isascii():
      name.encode()  # half of a surrogate pair would end the process
  if isinstance(ranked, Mapping):
    # a score of NaN ranks last
    return {
      name: -math.inf if score != score else float(score)
      for name, score in ranked.items()
    }
  scores = {name: float(-rank) for rank, name in enumerate(ranked)}
  if len(scores) < len(ranked):
    raise ValueError(f"the ranking of query {query!r} has a document twice")
  return scores
