"""How good rankings are: nDCG, recall, reciprocal rank, average precision.

All are trec_eval's, by pytrec_eval. What is relevant is a mapping of documents to
grades; a set or a list of documents has grade 1 each. The gain of nDCG is the grade;
for all else a document of grade 1 or more is relevant. Judged documents that the
collection lacks count: nothing can find them, and the best order has them.

A ranking is a list of documents, the best first, each once; or a mapping of documents
to scores, of which equal ones (in float32) stand in the reverse order of their names.

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
  """Document -> grade; documents without a grade have 1.

  Raises:
    ValueError: if a grade is no whole number up to `judged.MOST`: trec_eval has a table
      with a place for every grade.
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
  """sum_i grade_i / log2(i + 1) over the first `depth`, by that of the best order."""
  return _measure(f"ndcg_cut_{depth}", ranked, relevant)


def recall(ranked: Ranked, relevant: Relevant, depth: int) -> float:
  """The share of what is relevant that is among the first `depth`."""
  return _measure(f"recall_{depth}", ranked, relevant)


def reciprocal_rank(ranked: Ranked, relevant: Relevant) -> float:
  """1 over the place of the first relevant one; 0 if there is none."""
  return _measure("recip_rank", ranked, relevant)


def average_precision(ranked: Ranked, relevant: Relevant) -> float:
  """The mean over what is relevant of the precision at its place, 0 if not ranked."""
  return _measure("map", ranked, relevant)


def numbers(
  ranked: Mapping[str, Ranked], relevant: Mapping[str, Relevant]
) -> dict[str, float]:
  """Means over the queries that were judged: nDCG@10, recall@100, MRR and MAP.

  As in trec_eval a query that nobody judged does not count, and one whose judged
  documents are all irrelevant scores 0. Without any judged query all are NaN.
  """
  found = evaluate(ranked, relevant, MEASURES.values())
  mean = lambda name: float(np.mean([row[name] for row in found.values()]))
  return {
    ours: mean(theirs) if found else float("nan") for ours, theirs in MEASURES.items()
  }


def by_query(
  ranked: Mapping[str, Ranked], relevant: Mapping[str, Relevant]
) -> dict[str, float]:
  """nDCG@10 of each query that was judged."""
  found = evaluate(ranked, relevant, ["ndcg_cut_10"])
  return {query: row["ndcg_cut_10"] for query, row in found.items()}


def evaluate(
  ranked: Mapping[str, Ranked],
  relevant: Mapping[str, Relevant],
  measures: Iterable[str],
) -> dict[str, dict[str, float]]:
  """Query -> measure -> value, for the queries that were judged.

  Args:
    ranked: query -> ranking; an empty one scores 0.
    relevant: query -> what is relevant.
    measures: as trec_eval prints them, such as "ndcg_cut_10".

  Raises:
    ValueError: if a ranking has a document twice.
  """
  require("pytrec_eval", extra="apps")
  import pytrec_eval

  graded = {query: grades(relevant[query]) for query in ranked if query in relevant}
  runs = {query: _scores(query, ranked[query]) for query in graded}
  # the parameter of a measure stands behind a point there
  wanted = {name: _parameter(name) for name in measures}
  # without a judgement there is no entry of a query
  asked = {query: some for query, some in graded.items() if some and runs[query]}
  found = {}
  if asked:
    evaluator = pytrec_eval.RelevanceEvaluator(asked, {*wanted.values()})
    found = evaluator.evaluate({query: runs[query] for query in asked})
  nothing = dict.fromkeys(wanted, 0.0)
  return {query: found.get(query, nothing) for query in graded}


def signature() -> str:
  """What computed the numbers, for a report."""
  return (
    "trec_eval's ndcg_cut_10 (gain: grade), recall_100, recip_rank and map (relevant: "
    "grade 1 or more), judged documents that are not in the collection counted, by "
    f"pytrec-eval-terrier {version('pytrec-eval-terrier')}"
  )


def paired(ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float]:
  """By how much the first is better, a query, and two standard errors of that.

  Args:
    ours: a score a query, two queries at least.
    theirs: likewise, of the same queries.
  """
  apart = np.array([ours[q] - theirs[q] for q in ours])
  return float(apart.mean()), float(2 * apart.std(ddof=1) / np.sqrt(len(apart)))


def table(rows: dict[str, dict[str, float]]) -> list[str]:
  """Ways of ranking and their numbers, as Markdown."""
  lines = ["| | nDCG@10 | recall@100 | MRR | MAP |", "|---|--:|--:|--:|--:|"]
  for name, found in rows.items():
    lines.append(f"| {name} | " + " | ".join(f"{v:.3f}" for v in found.values()) + " |")
  return lines


def _measure(name: str, ranked: Ranked, relevant: Relevant) -> float:
  if name.endswith("_0") or "_-" in name:  # trec_eval would end the process
    raise ValueError(f"{name}: a depth of 1 at least expected")
  return evaluate({"": ranked}, {"": relevant}, [name])[""][name]


def _parameter(measure: str) -> str:
  head, _, last = measure.rpartition("_")
  return f"{head}.{last}" if last.isdigit() else measure


def _scores(query: str, ranked: Ranked) -> dict[str, float]:
  for name in ranked:
    if not name.isascii():
      name.encode()  # half of a surrogate pair would end the process
  if isinstance(ranked, Mapping):
    # a score that is NaN is the worst
    return {n: -math.inf if s != s else float(s) for n, s in ranked.items()}
  scores = {name: float(-place) for place, name in enumerate(ranked)}
  if len(scores) < len(ranked):
    raise ValueError(f"the ranking of query {query!r} has a document twice")
  return scores
