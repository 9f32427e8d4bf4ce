"""An index of vectors in a directory: what is near a query, exactly or nearly.

    exact    every vector is compared, by faiss
    ivf      those of the nearest cells alone, by faiss
    hnsw     a walk through a graph of neighbours, by faiss
    device   every vector is compared, by a matrix product on the accelerator

Source: Johnson et al. 2017, arXiv:1702.08734 (faiss); Malkov and Yashunin 2016,
arXiv:1603.09320 (HNSW).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxmem import files
from jaxmem.data.errors import require
from jaxmem.errors import UserError

KINDS = ("exact", "ivf", "hnsw", "device")
FORMAT = 1
# What an index is kept in; the manifest is the mark of one.
FILES = _MANIFEST, _VECTORS, _FAISS = "index.json", "vectors.npy", "vectors.faiss"
# Of the cells of "ivf" that are looked into; neighbours of a vector in the graph, and
# how many are kept on the walk.
PROBES, NEIGHBOURS, WIDTH = 8, 32, 64


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
      count: how many, at least 1; fewer if there are not so many, or "ivf" finds less.
    """
    ids = self.manifest["ids"]
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
  directory: Path,
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
    kind: see the top of this file.
    encoder: what the vectors are of, kept in the manifest.

  Raises:
    UserError: if there is no vector, or an id is there twice.
  """
  if not len(ids) or len(set(ids)) < len(ids):
    raise UserError(f"{len(ids)} ids, {len(set(ids))} of them unlike: give unlike ones")
  directory.mkdir(parents=True, exist_ok=True)
  if kind == "device":
    np.save(directory / _VECTORS, vectors)
  else:
    require_packages(kind)
    import faiss

    faiss.write_index(_made(vectors, kind), str(directory / _FAISS))
  file = directory / (_VECTORS if kind == "device" else _FAISS)
  manifest = {
    "format": FORMAT,
    "kind": kind,
    "dimensions": vectors.shape[1],
    "encoder": encoder,
    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    "ids": list(ids),
  }
  # last: without it there is no index
  files.write_json(directory / _MANIFEST, manifest, ensure_ascii=False, indent=None)
  return Index(manifest, _searcher(directory, kind))


def load(directory: Path) -> Index:
  """The index that `build` wrote.

  Raises:
    UserError: if it is missing or damaged.
  """
  try:
    manifest = files.read_json(directory / _MANIFEST)
    kind, wanted = manifest["kind"], manifest["sha256"]
    file = directory / (_VECTORS if kind == "device" else _FAISS)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise NoIndex(
      f"no index in {directory} ({error}): make one with jaxmem index build"
    ) from error
  if manifest["format"] != FORMAT or found != wanted:
    raise NoIndex(
      f"the index in {directory} is damaged or of another jaxmem: build it again"
    )
  return Index(manifest, _searcher(directory, kind))


def _made(vectors: Float[np.ndarray, "N D"], kind: str) -> Any:
  import faiss

  dim = vectors.shape[1]
  if kind == "exact":
    index = faiss.IndexFlatIP(dim)
  elif kind == "hnsw":
    index = faiss.IndexHNSWFlat(dim, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = WIDTH
  else:
    # faiss wants 39 vectors a cell to find the cells by
    cells = max(min(int(len(vectors) ** 0.5), len(vectors) // 39), 1)
    flat = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(flat, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.nprobe = PROBES
  index.add(vectors)
  return index


def _searcher(directory: Path, kind: str) -> Any:
  if kind == "device":
    held = jnp.asarray(np.load(directory / _VECTORS))
    nearest = jax.jit(_nearest, static_argnums=2)
    return lambda v, count: map(np.asarray, nearest(held, jnp.asarray(v), count))
  require_packages(kind)
  import faiss

  index = faiss.read_index(str(directory / _FAISS))
  return lambda vectors, count: index.search(vectors, count)


def _nearest(
  held: Float[jax.Array, "N D"], vectors: Float[jax.Array, "Q D"], count: int
) -> tuple[Float[jax.Array, "Q K"], Int[jax.Array, "Q K"]]:
  """All cosines, in full precision: of neighbours the first digits are alike."""
  cosines = jnp.matmul(vectors, held.T, precision="highest")
  return tuple(jax.lax.top_k(cosines, count))
