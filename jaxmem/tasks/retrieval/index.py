"""An index of vectors in a directory: exact or approximate nearest neighbours.

    exact    compares every vector, by faiss
    ivf      compares the vectors of the nearest cells, by faiss
    hnsw     walks through a graph of neighbours, by faiss; equal vectors share a node,
             and the walk is as wide as a sample of the vectors needs
    device   compares every vector, by a matrix product on the accelerator

Source: Johnson et al. 2017, arXiv:1702.08734 (faiss); Malkov and Yashunin 2016,
arXiv:1603.09320 (HNSW).
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxmem.core import files
from jaxmem.core.errors import UserError
from jaxmem.core.extras import require
from jaxmem.tasks.retrieval import graph

KINDS = ("exact", "ivf", "hnsw", "device")
FORMAT = 1
# The files of an index; a directory with the manifest is an index.
FILES = _MANIFEST, _VECTORS, _FAISS = "index.json", "vectors.npy", "vectors.faiss"
# Cells of "ivf" that a query searches.
PROBES = 8


class NoIndex(UserError):
  """The directory has no index, or one that is damaged or of another encoder."""


class Index(NamedTuple):
  """Vectors of unit norm, with their ids.

  Attributes:
    manifest: the content of the manifest file, which has the ids.
    search: (vectors [Q, D], count) -> scores and positions [Q, K], the nearest first.
  """

  manifest: dict[str, Any]
  search: Any

  def query(
    self, vectors: Float[np.ndarray, "Q D"], count: int
  ) -> list[list[tuple[str, float]]]:
    """Returns the ids nearest to each query, with their cosines.

    Args:
      vectors: the queries, vectors of unit norm.
      count: how many ids a query gets, at least 1; fewer if the index is smaller.

    Raises:
      UserError: if queries have another dimension, or are zeros or not finite.
    """
    ids = self.manifest["ids"]
    if count < 1:
      raise UserError(f"a query asks for {count} documents: ask for at least 1")
    vectors = _checked(vectors, "query")
    if vectors.shape[1] != self.manifest["dimensions"]:
      raise UserError(
        f"a query has {vectors.shape[1]} numbers and the index "
        f"{self.manifest['dimensions']}: ask with the encoder that it was built with"
      )
    scores, positions = self.search(vectors, min(count, len(ids)))  # [Q, K] each
    # position -1 says that the search found fewer
    return [
      [(ids[i], float(s)) for s, i in zip(*row, strict=True) if i >= 0]
      for row in zip(scores, positions, strict=True)
    ]


def require_packages(kind: str) -> None:
  """Raises a DataError if an index of a kind needs a package that is not installed."""
  if kind != "device":
    require("faiss", extra="apps")


def build(
  directory: str | Path,
  ids: Sequence[str],
  vectors: Float[np.ndarray, "N D"],
  kind: str,
  encoder: dict[str, str],
) -> Index:
  """Writes an index.

  Args:
    directory: the directory, which is created if it does not exist.
    ids: the ids of the vectors, all different.
    vectors: vectors of unit norm, float32.
    kind: see the top of this file. If the graph of an "hnsw" misses vectors, the index
      becomes "exact", with a warning.
    encoder: describes the encoder of the vectors, for the manifest.

  Raises:
    UserError: if there is no vector, an id occurs twice, or a vector is zeros or not
      finite.
  """
  directory = Path(directory)
  if not len(ids) or len(set(ids)) < len(ids):
    raise UserError(
      f"{len(ids)} ids, {len(set(ids))} of them different: give different ids"
    )
  if len(ids) != len(vectors):
    raise UserError(f"{len(ids)} ids for {len(vectors)} vectors: give one for each")
  vectors = _checked(vectors, "vector", ids)
  directory.mkdir(parents=True, exist_ok=True)
  graph_manifest: dict[str, Any] = {}
  if kind == "device":
    np.save(directory / _VECTORS, vectors)
  else:
    require_packages(kind)
    import faiss

    if kind == "hnsw":
      index, graph_manifest = graph.build(vectors)
      if not graph_manifest:
        kind = "exact"
        print(
          "jaxmem: the graph of hnsw misses vectors, so every vector is compared: the "
          "index is 'exact'",
          file=sys.stderr,
        )
    if kind != "hnsw":
      index = _compared(vectors, kind)
    faiss.write_index(index, str(directory / _FAISS))
  file = directory / (_VECTORS if kind == "device" else _FAISS)
  manifest = {
    "format": FORMAT,
    "kind": kind,
    "dimensions": vectors.shape[1],
    "encoder": encoder,
    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    "ids": list(ids),
    **graph_manifest,
  }
  # last, so that a build that is stopped leaves no index
  files.write_json(directory / _MANIFEST, manifest, ensure_ascii=False, indent=None)
  return Index(manifest, _searcher(directory, manifest))


def load(directory: str | Path) -> Index:
  """Loads the index that `build` wrote.

  Raises:
    UserError: if it is missing or damaged.
  """
  directory = Path(directory)
  try:
    manifest = files.read_json(directory / _MANIFEST)
    kind = manifest["kind"]
    file = directory / (_VECTORS if kind == "device" else _FAISS)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    intact = (
      manifest["format"] == FORMAT
      and digest == manifest["sha256"]
      and kind in KINDS
      and isinstance(manifest["ids"], list)
      and isinstance(manifest["encoder"], dict)
    )
  except (OSError, ValueError, LookupError, TypeError) as error:
    raise NoIndex(
      f"no index in {directory} ({error}): make one with jaxmem index build"
    ) from error
  if not intact:
    raise NoIndex(
      f"the index in {directory} is damaged or of another jaxmem: build it again"
    )
  return Index(manifest, _searcher(directory, manifest))


def _checked(
  vectors: np.ndarray, what: str, names: Sequence[str] | None = None
) -> Float[np.ndarray, "N D"]:
  """Returns vectors as float32; raises a UserError if one has no direction."""
  vectors = np.ascontiguousarray(vectors, np.float32)
  if vectors.ndim != 2:
    raise UserError(f"the shape is {vectors.shape}: one row a {what} expected")
  finite = np.isfinite(vectors).all(1)  # [N]
  bad = ~finite | ~vectors.any(1)
  if bad.any():
    row = int(bad.argmax())
    name = repr(names[row]) if names is not None else f"number {row + 1}"
    fault = "is all zeros" if finite[row] else "has a number that is NaN or infinite"
    raise UserError(
      f"{what} {name} {fault} ({int(bad.sum())} of {len(bad)} do so): it has no "
      "direction to compare, leave it out or look at the encoder"
    )
  return vectors


def _compared(vectors: Float[np.ndarray, "N D"], kind: str) -> Any:
  """Builds an index that compares all vectors, or those of the nearest cells."""
  import faiss

  dim = vectors.shape[1]
  if kind == "exact":
    index = faiss.IndexFlatIP(dim)
  else:
    # k-means of faiss expects 39 vectors a cell at least
    cells = max(min(int(len(vectors) ** 0.5), len(vectors) // 39), 1)
    flat = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(flat, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.nprobe = PROBES
  index.add(vectors)
  return index


def _completed(result: tuple, vectors: np.ndarray, search: Callable) -> tuple:
  """Replaces the results of queries that found too few by those of a full search."""
  scores, positions = result
  lacking = (positions < 0).any(1)  # [Q]
  if lacking.any():
    scores[lacking], positions[lacking] = search(vectors[lacking])
  return scores, positions


def _searcher(directory: Path, manifest: dict[str, Any]) -> Any:
  """Returns `Index.search` of the files in a directory."""
  kind = manifest["kind"]
  if kind == "device":
    indexed = jnp.asarray(np.load(directory / _VECTORS))
    nearest = jax.jit(_nearest, static_argnums=2)
    return lambda v, count: map(np.asarray, nearest(indexed, jnp.asarray(v), count))
  require_packages(kind)
  import faiss

  index = faiss.read_index(str(directory / _FAISS))
  if kind == "hnsw":
    # an index of an older jaxmem has a node for every vector
    same_as = np.asarray(manifest.get("same_as", np.arange(index.ntotal)))
    width = manifest.get("width", graph.WIDTHS[0])
    storage = faiss.downcast_index(index.storage)

    def search_graph(vectors, count):
      nodes = min(count, index.ntotal)
      result = graph.walk(index, vectors, nodes, width)
      scores, positions = _completed(
        result, vectors, lambda queries: storage.search(queries, nodes)
      )
      return graph.spread(scores, positions, same_as, count)

    return search_graph
  if kind == "ivf":
    all_cells = faiss.SearchParametersIVF(nprobe=index.nlist)

    def search_cells(vectors, count):
      return _completed(
        index.search(vectors, count),
        vectors,
        lambda queries: index.search(queries, count, params=all_cells),
      )

    return search_cells
  return index.search


def _nearest(
  indexed: Float[jax.Array, "N D"], vectors: Float[jax.Array, "Q D"], count: int
) -> tuple[Float[jax.Array, "Q K"], Int[jax.Array, "Q K"]]:
  """Returns the greatest cosines of each query, and the positions of their vectors."""
  # in full precision: the cosines of neighbours have the same first digits
  cosines = jnp.matmul(vectors, indexed.T, precision="highest")  # [Q, N]
  return tuple(jax.lax.top_k(cosines, count))
