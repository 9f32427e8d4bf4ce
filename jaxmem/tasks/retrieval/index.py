"""An index of vectors in a directory: what is near a query, exactly or nearly.

    exact    every vector is compared, by faiss
    ivf      those of the nearest cells alone, by faiss
    hnsw     a walk through a graph of neighbours, by faiss; equal vectors are one place
             of the graph, and the walk is as wide as it must be to find what is there
    device   every vector is compared, by a matrix product on the accelerator

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
# What an index is kept in; the manifest is the mark of one.
FILES = _MANIFEST, _VECTORS, _FAISS = "index.json", "vectors.npy", "vectors.faiss"
# Of the cells of "ivf" that are looked into.
PROBES = 8


class NoIndex(UserError):
  """A directory holds no index, or not one of this encoder."""


class Index(NamedTuple):
  """Vectors of length 1, and whose they are.

  Attributes:
    manifest: what is saved beside them.
    search: (vectors, count) -> scores and places, the nearest first.
  """

  manifest: dict[str, Any]
  search: Any

  def query(
    self, vectors: Float[np.ndarray, "Q D"], count: int
  ) -> list[list[tuple[str, float]]]:
    """The ids nearest to each vector, with the cosine.

    Args:
      vectors: of length 1.
      count: how many, at least 1; fewer if there are not so many.

    Raises:
      UserError: if vectors have another dimension, or are zeros or not finite.
    """
    ids = self.manifest["ids"]
    if count < 1:
      raise UserError(f"{count} documents a query are asked for: at least 1")
    vectors = _checked(vectors, "query")
    if vectors.shape[1] != self.manifest["dimensions"]:
      raise UserError(
        f"a query has {vectors.shape[1]} numbers and the index "
        f"{self.manifest['dimensions']}: ask with the encoder that it was built with"
      )
    scores, places = self.search(vectors, min(count, len(ids)))
    return [
      [(ids[i], float(s)) for s, i in zip(row, at, strict=True) if i >= 0]
      for row, at in zip(scores, places, strict=True)
    ]


def require_packages(kind: str) -> None:
  """Raises DataError if an index of a kind needs what is not installed."""
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
    directory: made if it is not there.
    ids: of the vectors, all unlike.
    vectors: of length 1, float32.
    kind: see the top of this file. An "hnsw" whose graph does not find what is there
      becomes "exact", and says so.
    encoder: what the vectors are of, kept in the manifest.

  Raises:
    UserError: if there is no vector, an id is there twice, or a vector is zeros or not
      finite.
  """
  directory = Path(directory)
  if not len(ids) or len(set(ids)) < len(ids):
    raise UserError(f"{len(ids)} ids, {len(set(ids))} of them unlike: give unlike ones")
  if len(ids) != len(vectors):
    raise UserError(f"{len(ids)} ids for {len(vectors)} vectors: give one for each")
  vectors = _checked(vectors, "vector", ids)
  directory.mkdir(parents=True, exist_ok=True)
  walked: dict[str, Any] = {}
  if kind == "device":
    np.save(directory / _VECTORS, vectors)
  else:
    require_packages(kind)
    import faiss

    if kind == "hnsw":
      made, walked = graph.build(vectors)
      if not walked:
        kind = "exact"
        print(
          "jaxmem: the graph of hnsw does not find all that is there, so every vector "
          "is compared: the index is 'exact'",
          file=sys.stderr,
        )
    if kind != "hnsw":
      made = _made(vectors, kind)
    faiss.write_index(made, str(directory / _FAISS))
  file = directory / (_VECTORS if kind == "device" else _FAISS)
  manifest = {
    "format": FORMAT,
    "kind": kind,
    "dimensions": vectors.shape[1],
    "encoder": encoder,
    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    "ids": list(ids),
    **walked,
  }
  # last: without it there is no index
  files.write_json(directory / _MANIFEST, manifest, ensure_ascii=False, indent=None)
  return Index(manifest, _searcher(directory, manifest))


def load(directory: str | Path) -> Index:
  """The index that `build` wrote.

  Raises:
    UserError: if it is missing or damaged.
  """
  directory = Path(directory)
  try:
    manifest = files.read_json(directory / _MANIFEST)
    kind, wanted = manifest["kind"], manifest["sha256"]
    file = directory / (_VECTORS if kind == "device" else _FAISS)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    whole = (
      manifest["format"] == FORMAT
      and found == wanted
      and kind in KINDS
      and isinstance(manifest["ids"], list)
      and isinstance(manifest["encoder"], dict)
    )
  except (OSError, ValueError, LookupError, TypeError) as error:
    raise NoIndex(
      f"no index in {directory} ({error}): make one with jaxmem index build"
    ) from error
  if not whole:
    raise NoIndex(
      f"the index in {directory} is damaged or of another jaxmem: build it again"
    )
  return Index(manifest, _searcher(directory, manifest))


def _checked(
  vectors: np.ndarray, what: str, names: Sequence[str] | None = None
) -> Float[np.ndarray, "N D"]:
  """Vectors as float32; raises UserError for one that has no direction."""
  vectors = np.ascontiguousarray(vectors, np.float32)
  if vectors.ndim != 2:
    raise UserError(f"the shape is {vectors.shape}: one row a {what} expected")
  finite = np.isfinite(vectors).all(1)
  bad = ~finite | ~vectors.any(1)
  if bad.any():
    row = int(bad.argmax())
    name = repr(names[row]) if names is not None else f"number {row + 1}"
    fault = "is all zeros" if finite[row] else "has a number that is NaN or infinite"
    raise UserError(
      f"{what} {name} {fault} ({int(bad.sum())} of {len(bad)} are so): it has no "
      "direction to compare, leave it out or look at the encoder"
    )
  return vectors


def _made(vectors: Float[np.ndarray, "N D"], kind: str) -> Any:
  import faiss

  dim = vectors.shape[1]
  if kind == "exact":
    index = faiss.IndexFlatIP(dim)
  else:
    # faiss wants 39 vectors a cell to find the cells by
    cells = max(min(int(len(vectors) ** 0.5), len(vectors) // 39), 1)
    flat = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(flat, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.nprobe = PROBES
  index.add(vectors)
  return index


def _completed(found: tuple, vectors: np.ndarray, search: Callable) -> tuple:
  """Scores and places; rows with too few are asked again, by a search of everything."""
  scores, places = found
  lacking = (places < 0).any(1)
  if lacking.any():
    scores[lacking], places[lacking] = search(vectors[lacking])
  return scores, places


def _searcher(directory: Path, manifest: dict[str, Any]) -> Any:
  kind = manifest["kind"]
  if kind == "device":
    held = jnp.asarray(np.load(directory / _VECTORS))
    nearest = jax.jit(_nearest, static_argnums=2)
    return lambda v, count: map(np.asarray, nearest(held, jnp.asarray(v), count))
  require_packages(kind)
  import faiss

  index = faiss.read_index(str(directory / _FAISS))
  if kind == "hnsw":
    # an index of an older jaxmem has a place for every vector
    same_as = np.asarray(manifest.get("same_as", np.arange(index.ntotal)))
    width = manifest.get("width", graph.WIDTHS[0])
    storage = faiss.downcast_index(index.storage)

    def walk(vectors, count):
      most = min(count, index.ntotal)
      found = graph.walk(index, vectors, most, width)
      found = _completed(found, vectors, lambda some: storage.search(some, most))
      return graph.spread(*found, same_as, count)

    return walk
  if kind == "ivf":
    every = faiss.SearchParametersIVF(nprobe=index.nlist)

    def cells(vectors, count):
      search = lambda some: index.search(some, count, params=every)
      return _completed(index.search(vectors, count), vectors, search)

    return cells
  return index.search


def _nearest(
  held: Float[jax.Array, "N D"], vectors: Float[jax.Array, "Q D"], count: int
) -> tuple[Float[jax.Array, "Q K"], Int[jax.Array, "Q K"]]:
  """All cosines, in full precision: of neighbours the first digits are alike."""
  cosines = jnp.matmul(vectors, held.T, precision="highest")
  return tuple(jax.lax.top_k(cosines, count))
