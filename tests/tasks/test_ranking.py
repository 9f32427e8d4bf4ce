"""Metrics of rankings, by hand and by scikit-learn."""

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import ndcg_score

from jaxmem.tasks.retrieval import metrics


def test_numbers_by_hand():
  ranked, relevant = ["a", "b", "c", "d"], {"b", "d", "x"}
  assert metrics.recall(ranked, relevant, 2) == 1 / 3
  assert metrics.reciprocal_rank(ranked, relevant) == 1 / 2
  assert metrics.reciprocal_rank(["q"], relevant) == 0
  np.testing.assert_allclose(
    metrics.average_precision(ranked, relevant), (1 / 2 + 2 / 4) / 3
  )
  best = 1 + 1 / np.log2(3) + 1 / 2
  expected = (1 / np.log2(3) + 1 / np.log2(5)) / best
  np.testing.assert_allclose(metrics.ndcg(ranked, relevant, 10), expected)


def test_ndcg_equals_that_of_scikit_learn():
  draw = np.random.default_rng(0)
  for _ in range(20):
    scores, truth = draw.random(12), draw.integers(0, 2, 12)
    if not truth.any():
      continue
    names = [f"d{i}" for i in np.argsort(-scores)]
    relevant = {f"d{i}" for i in np.flatnonzero(truth)}
    expected = ndcg_score(truth[None], scores[None], k=5)
    np.testing.assert_allclose(metrics.ndcg(names, relevant, 5), expected)


def test_a_table_has_a_row_for_each_ranking():
  rows = {"x": metrics.numbers({"q": ["a"]}, {"q": {"a"}})}
  assert metrics.table(rows)[-1] == "| x | 1.000 | 1.000 | 1.000 | 1.000 |"


def test_differences_are_paired_by_query():
  relevant = {"q": {"a"}, "r": {"a"}}
  scores = metrics.by_query({"q": ["a"], "r": ["b", "a"]}, relevant)
  np.testing.assert_allclose([scores["q"], scores["r"]], [1, 1 / np.log2(3)])
  ours, theirs = {"q": 0.9, "r": 0.4, "s": 0.5}, {"q": 0.8, "r": 0.1, "s": 0.3}
  mean, error = metrics.paired(ours, theirs)
  test = ttest_rel([*ours.values()], [*theirs.values()])
  np.testing.assert_allclose([mean, 2 * mean / error], [0.2, test.statistic])


@pytest.mark.parametrize("grade", [1.5, float("nan"), 10**12, -(10**12)])
def test_grades_that_trec_eval_would_misread_are_refused(grade):
  with pytest.raises(ValueError, match="document 'a' has the grade"):
    metrics.ndcg(["a"], {"a": grade}, 10)


def test_what_would_end_the_process_is_an_error():
  for depth in (0, -1, -10):
    with pytest.raises(ValueError, match="depth of 1 at least"):
      metrics.ndcg(["a"], {"a": 1}, depth)
  with pytest.raises(UnicodeEncodeError):
    metrics.ndcg(["\ud800"], {"a": 1}, 10)


def test_a_score_of_nan_ranks_last():
  scores = {"a": float("nan"), "b": 1.0}
  assert metrics.reciprocal_rank(scores, {"a"}) == 1 / 2
  assert metrics.reciprocal_rank(scores, {"b"}) == 1
