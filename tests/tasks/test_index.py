"""Indexes find all their vectors, as many as asked for, and refuse bad ones."""

import json

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.tasks.retrieval import index


def unit(vectors):
  """Vectors of norm 1."""
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  return (vectors / norms).astype(np.float32)


def build(directory, vectors, kind):
  """An index of vectors, loaded from its files."""
  index.build(directory, [f"v{i}" for i in range(len(vectors))], vectors, kind, {})
  return index.load(directory)


def ids(results):
  """The ids of the results of each query."""
  return [[name for name, _ in row] for row in results]


@pytest.fixture
def draw():
  return np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_equal_vectors_hide_no_other_vector(kind, draw, tmp_path):
  same = np.repeat(unit(draw.normal(size=(1, 16))), 600, 0)
  vectors = np.concatenate([same, unit(draw.normal(size=(50, 16)))])
  built = build(tmp_path, vectors, kind)
  assert built.manifest["kind"] == kind
  nearest = ids(built.query(vectors[600:], 1))
  assert nearest == [[f"v{i}"] for i in range(600, 650)]
  # all equal vectors are found, each once, and then the next one
  (row,) = built.query(vectors[:1], 620)
  names = [name for name, _ in row]
  assert len(set(names)) == 620 and {f"v{i}" for i in range(600)} == {*names[:600]}
  scores = [score for _, score in row]
  np.testing.assert_allclose(scores[:600], 1, atol=1e-5)
  assert scores == sorted(scores, reverse=True) and scores[600] < 0.999


@pytest.mark.parametrize("kind", index.KINDS)
def test_a_query_gets_as_many_as_it_asks_for(kind, draw, tmp_path):
  vectors = unit(draw.normal(size=(300, 8)))
  results = build(tmp_path, vectors, kind).query(vectors[:3], 250)
  assert [len({*row}) for row in ids(results)] == [250] * 3
  # what the cells or the walk do not find, a search of every vector does
  exact = np.sort(vectors[:3] @ vectors.T, axis=1)[:, ::-1][:, :250]
  scores = [[score for _, score in row] for row in results]
  np.testing.assert_allclose(scores, exact, atol=1e-5)
  assert [
    len(row) for row in build(tmp_path, vectors[:4], kind).query(vectors[:1], 9)
  ] == [4]


def test_a_graph_that_does_not_find_all_becomes_exact(draw, tmp_path, capsys):
  # nearly equal, so that no two share a node of the graph
  crowd = unit(draw.normal(size=(1, 16)) + 1e-6 * draw.normal(size=(1500, 16)))
  vectors = np.concatenate([crowd, unit(draw.normal(size=(50, 16)))])
  built = build(tmp_path, vectors, "hnsw")
  nearest = ids(built.query(vectors[1500:], 1))
  assert nearest == [[f"v{i}"] for i in range(1500, 1550)]
  warning = capsys.readouterr().err
  assert ("the index is 'exact'" in warning) == (built.manifest["kind"] == "exact")


def test_a_graph_of_an_older_version_is_read(draw, tmp_path):
  vectors = unit(draw.normal(size=(40, 8)))
  names = [f"v{i}" for i in range(40)]
  built = index.build(tmp_path, names, vectors, "hnsw", {})
  # such a graph has a node for every vector, in order
  order = np.argsort(built.manifest["same_as"])
  manifest = {k: v for k, v in built.manifest.items() if k not in ("same_as", "width")}
  manifest["ids"] = [names[i] for i in order]
  (tmp_path / "index.json").write_text(json.dumps(manifest), encoding="utf-8")
  results = index.load(tmp_path).query(vectors, 1)
  assert ids(results) == [[name] for name in names]


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
  built = build(tmp_path / "made", vectors, kind)
  for query, count, words in (
    (np.ones((1, 4)), 1, "a query has 4 numbers and the index 3"),
    (np.zeros((1, 3)), 1, "query number 1 is all zeros"),
    (np.full((1, 3), np.nan), 1, "query number 1 has a number that is NaN"),
    (vectors, 0, "a query asks for 0 documents"),
  ):
    with pytest.raises(UserError, match=words):
      built.query(query, count)
