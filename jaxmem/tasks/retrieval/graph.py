"""A graph of neighbours, by faiss: the index of kind "hnsw"."""

from typing import Any

import numpy as np
from jaxtyping import Float

# Neighbours of a vector in the graph, and the width of the walk that finds them: how
# many of the best vectors so far it keeps.
NEIGHBOURS, CONSTRUCTION = 32, 100
# The width of the walk of a query is the least of `WIDTHS` at which each of `SAMPLE`
# vectors finds itself, and `SHARE` of the `NEAREST` vectors that are nearest to it.
WIDTHS, SAMPLE, NEAREST, SHARE = (64, 128, 256, 512), 2_000, 10, 0.98


def build(vectors: Float[np.ndarray, "N D"]) -> tuple[Any, dict[str, Any]]:
  """Builds a graph of the distinct vectors, and the part of the manifest about it.

  Many equal vectors would be each other's only neighbours, and no walk would leave
  them. Nearly equal vectors can still do that, so a sample of the vectors is searched
  to choose the width of the walk.

  Args:
    vectors: vectors of unit norm, float32.

  Returns:
    The index of faiss, and a dictionary of "same_as", the position in the index of each
    vector, and "width", that of the walk. The dictionary is empty if no width finds
    what a comparison with every vector does.
  """
  import faiss

  distinct, same_as = np.unique(vectors, axis=0, return_inverse=True)  # [U, D], [N]
  index = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
  index.hnsw.efConstruction = CONSTRUCTION
  # shuffled: `unique` sorts, and neighbours would be added one after the other
  order = np.random.default_rng(0).permutation(len(distinct))
  index.add(distinct[order])
  queries, count = distinct[order[:SAMPLE]], min(NEAREST, len(distinct))
  flat = faiss.IndexFlatIP(vectors.shape[1])
  flat.add(distinct)
  exact_scores, _ = flat.search(queries, count)  # [S, K], best first
  for width in WIDTHS:
    scores, _ = walk(index, queries, count, width)
    # ranks are compared by score: of equal scores any vector may come first
    is_found = scores >= exact_scores - 1e-5
    if is_found[:, 0].all() and is_found.mean() >= SHARE:
      position = np.argsort(order)[same_as.ravel()]  # [N]
      return index, {"same_as": position.tolist(), "width": width}
  return index, {}


def walk(index: Any, vectors: np.ndarray, count: int, width: int) -> tuple:
  """Searches the graph.

  Args:
    index: the graph.
    vectors: the queries, [Q, D].
    count: K, how many vectors to find.
    width: the least width of the walk.

  Returns:
    Scores and positions [Q, K], the best first; positions are -1 where fewer are found.
  """
  import faiss

  # a walk that keeps fewer than `count` vectors finds fewer
  params = faiss.SearchParametersHNSW(efSearch=max(width, 2 * count))
  return index.search(vectors, count, params=params)


def spread(scores, positions, same_as: np.ndarray, count: int) -> tuple:
  """Replaces each distinct vector by all vectors that are equal to it.

  Args:
    scores: the scores of distinct vectors, [Q, U].
    positions: their positions in the graph, [Q, U].
    same_as: the position in the graph of each vector, [N].
    count: K, how many vectors to return; so many must be equal to the distinct ones.

  Returns:
    Scores and indices of vectors, [Q, K].
  """
  # the vectors sorted by position; those of position i are begins[i] to ends[i]
  order = np.argsort(same_as, kind="stable")
  ends = np.cumsum(np.bincount(same_as))
  begins = np.concatenate([[0], ends[:-1]])
  all_scores = np.empty((len(positions), count), np.float32)
  indices = np.empty((len(positions), count), np.int64)
  for i, row in enumerate(positions):
    groups = [order[begins[position] : ends[position]] for position in row]
    indices[i] = np.concatenate(groups)[:count]
    all_scores[i] = np.repeat(scores[i], [len(group) for group in groups])[:count]
  return all_scores, indices
