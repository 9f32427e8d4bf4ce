"""Indexes find what is there, as many as are asked for; bad vectors are refused."""

import json

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.tasks.retrieval import index


def unit(vectors):
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  return (vectors / norms).astype(np.float32)


def build(directory, vectors, kind):
  index.build(directory, [f"v{i}" for i in range(len(vectors))], vectors, kind, {})
  return index.load(directory)


def ids(found):
  return [[name for name, _ in row] for row in found]


@pytest.fixture
def draw():
  return np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_equal_vectors_hide_no_other(kind, draw, tmp_path):
  same = np.repeat(unit(draw.normal(size=(1, 16))), 600, 0)
  vectors = np.concatenate([same, unit(draw.normal(size=(50, 16)))])
  made = build(tmp_path, vectors, kind)
  assert made.manifest["kind"] == kind
  found = ids(made.query(vectors[600:], 1))
  assert found == [[f"v{i}"] for i in range(600, 650)]
  # all that are equal are found, each once, and behind them the next
  (row,) = made.query(vectors[:1], 620)
  names = [name for name, _ in row]
  assert len(set(names)) == 620 and {f"v{i}" for i in range(600)} == {*names[:600]}
  scores = [score for _, score in row]
  np.testing.assert_allclose(scores[:600], 1, atol=1e-5)
  assert scores == sorted(scores, reverse=True) and scores[600] < 0.999


@pytest.mark.parametrize("kind", index.KINDS)
def test_as_many_are_found_as_are_asked_for(kind, draw, tmp_path):
  vectors = unit(draw.normal(size=(300, 8)))
  found = build(tmp_path, vectors, kind).query(vectors[:3], 250)
  assert [len({*row}) for row in ids(found)] == [250] * 3
  # beyond what is probed, or walked to, the search is that of every vector
  wanted = np.sort(vectors[:3] @ vectors.T, axis=1)[:, ::-1][:, :250]
  scores = [[score for _, score in row] for row in found]
  np.testing.assert_allclose(scores, wanted, atol=1e-5)
  assert [
    len(row) for row in build(tmp_path, vectors[:4], kind).query(vectors[:1], 9)
  ] == [4]


def test_a_graph_that_does_not_find_all_becomes_exact(draw, tmp_path, capsys):
  # nearly equal, so that no two are one place of the graph
  crowd = unit(draw.normal(size=(1, 16)) + 1e-6 * draw.normal(size=(1500, 16)))
  vectors = np.concatenate([crowd, unit(draw.normal(size=(50, 16)))])
  made = build(tmp_path, vectors, "hnsw")
  found = ids(made.query(vectors[1500:], 1))
  assert found == [[f"v{i}"] for i in range(1500, 1550)]
  said = capsys.readouterr().err
  assert ("the index is 'exact'" in said) == (made.manifest["kind"] == "exact")


def test_a_graph_of_an_older_version_is_read(draw, tmp_path):
  vectors = unit(draw.normal(size=(40, 8)))
  names = [f"v{i}" for i in range(40)]
  made = index.build(tmp_path, names, vectors, "hnsw", {})
  # there every vector had its own place, in order
  place = np.argsort(made.manifest["same_as"])
  manifest = {k: v for k, v in made.manifest.items() if k not in ("same_as", "width")}
  manifest["ids"] = [names[i] for i in place]
  (tmp_path / "index.json").write_text(json.dumps(manifest), encoding="utf-8")
  found = index.load(tmp_path).query(vectors, 1)
  assert ids(found) == [[name] for name in names]


@pytest.mark.parametrize("kind", index.KINDS)
def test_vectors_without_a_direction_are_refused(kind, draw, tmp_path):
  vectors = unit(draw.normal(size=(4, 3)))
  for value, words in (
    (np.nan, "vector 'v2' has a number that is NaN or infinite"),
    (np.inf, "vector 'v2' has a number that is NaN or infinite"),
    (0.0, "vector 'v2' is all zeros"),
  ):
    broken = vectors.copy()
    broken[2] = value
    with pytest.raises(UserError, match=words):
      build(tmp_path / "broken", broken, kind)
  assert not (tmp_path / "broken").exists()
  with pytest.raises(UserError, match="3 ids for 4 vectors"):
    index.build(tmp_path, ["a", "b", "c"], vectors, kind, {})
  made = build(tmp_path / "made", vectors, kind)
  for query, count, words in (
    (np.ones((1, 4)), 1, "a query has 4 numbers and the index 3"),
    (np.zeros((1, 3)), 1, "query number 1 is all zeros"),
    (np.full((1, 3), np.nan), 1, "query number 1 has a number that is NaN"),
    (vectors, 0, "0 documents a query"),
  ):
    with pytest.raises(UserError, match=words):
      made.query(query, count)
