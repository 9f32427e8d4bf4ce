"""How good rankings are: nDCG, recall, reciprocal rank, average precision."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np


def ndcg(ranked: Sequence[str], relevant: Collection[str], depth: int) -> float:
  """sum_i rel_i / log2(i + 1) over the first `depth`, by that of the best order.

  Source: Jarvelin and Kekalainen 2002, ACM TOIS 20(4), with relevance 0 or 1.
  """
  gain = lambda hits: sum(hit / np.log2(i + 2) for i, hit in enumerate(hits))
  best = gain([1] * min(len(relevant), depth))
  return float(gain([name in relevant for name in ranked[:depth]]) / best)


def recall(ranked: Sequence[str], relevant: Collection[str], depth: int) -> float:
  """The share of what is relevant that is among the first `depth`."""
  return len({*relevant} & {*ranked[:depth]}) / len(relevant)


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str]) -> float:
  """1 over the place of the first relevant one; 0 if there is none."""
  places = (i for i, name in enumerate(ranked, start=1) if name in relevant)
  return 1 / next(places, float("inf"))


def average_precision(ranked: Sequence[str], relevant: Collection[str]) -> float:
  """The mean over what is relevant of the precision at its place, 0 if not ranked."""
  hits = np.cumsum([name in relevant for name in ranked])
  at = [hits[i] / (i + 1) for i, name in enumerate(ranked) if name in relevant]
  return float(sum(at) / len(relevant))


def numbers(
  ranked: dict[str, Sequence[str]], relevant: Mapping[str, Collection[str]]
) -> dict[str, float]:
  """Means over the queries: nDCG@10, recall@100, MRR and MAP."""
  mean = lambda score: float(np.mean([score(ranked[q], relevant[q]) for q in ranked]))
  return {
    "ndcg_10": mean(lambda a, b: ndcg(a, b, 10)),
    "recall_100": mean(lambda a, b: recall(a, b, 100)),
    "mrr": mean(reciprocal_rank),
    "map": mean(average_precision),
  }


def by_query(
  ranked: dict[str, Sequence[str]], relevant: Mapping[str, Collection[str]]
) -> dict[str, float]:
  """nDCG@10 of each query."""
  return {q: ndcg(ranked[q], relevant[q], 10) for q in ranked}


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
