"""A graph of neighbours, by faiss: the index of kind "hnsw"."""

from typing import Any

import numpy as np
from jaxtyping import Float

# Neighbours of a vector in the graph, and vectors that are kept on the walk that finds
# them.
NEIGHBOURS, CONSTRUCTION = 32, 100
# Vectors that are kept on the walk of a query: the least width at which a sample of
# vectors find themselves, and this share of so many that are nearest to each.
WIDTHS, SAMPLE, NEAREST, SHARE = (64, 128, 256, 512), 2_000, 10, 0.98


def build(vectors: Float[np.ndarray, "N D"]) -> tuple[Any, dict[str, Any]]:
  """A graph of the unlike vectors, and what the manifest must say of it.

  Many equal vectors would be each other's only neighbours, and no walk would leave
  them. What is nearly equal can still do that, so the graph is asked for a sample of
  what it holds.

  Returns:
    The index; "same_as", which place of it each vector has, and "width" of the walk.
    Nothing to say if no width finds what a comparison with every vector does.
  """
  import faiss

  unlike, same_as = np.unique(vectors, axis=0, return_inverse=True)
  index = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
  index.hnsw.efConstruction = CONSTRUCTION
  # in no order: sorted neighbours would be added one behind the other
  order = np.random.default_rng(0).permutation(len(unlike))
  index.add(unlike[order])
  asked, count = unlike[order[:SAMPLE]], min(NEAREST, len(unlike))
  flat = faiss.IndexFlatIP(vectors.shape[1])
  flat.add(unlike)
  wanted, _ = flat.search(asked, count)
  for width in WIDTHS:
    found, _ = walk(index, asked, count, width)
    near = found >= wanted - 1e-5  # in order, so the same as far as it goes
    if near[:, 0].all() and near.mean() >= SHARE:
      place = np.argsort(order)[same_as.ravel()]
      return index, {"same_as": place.tolist(), "width": width}
  return index, {}


def walk(index: Any, vectors: np.ndarray, count: int, width: int) -> tuple:
  """Scores and places; a walk that keeps fewer than are asked for finds fewer."""
  import faiss

  how = faiss.SearchParametersHNSW(efSearch=max(width, 2 * count))
  return index.search(vectors, count, params=how)


def spread(scores, places, same_as: np.ndarray, count: int) -> tuple:
  """Of places of unlike vectors those of all that are equal to each, `count` a row."""
  order = np.argsort(same_as, kind="stable")
  ends = np.cumsum(np.bincount(same_as))
  begins = np.concatenate([[0], ends[:-1]])
  best = np.empty((len(places), count), np.float32)
  at = np.empty((len(places), count), np.int64)
  for row, found in enumerate(places):
    groups = [order[begins[place] : ends[place]] for place in found]
    at[row] = np.concatenate(groups)[:count]
    best[row] = np.repeat(scores[row], [len(group) for group in groups])[:count]
  return best, at
