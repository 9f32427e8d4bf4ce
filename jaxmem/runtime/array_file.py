"""Arrays and a JSON header in one file: there as a whole or not at all, no pickle."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core import files

# What NumPy raises, or what its answers do, where a file is not one of ours.
_UNREADABLE = (
  OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
  MemoryError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


class Unreadable(ValueError):
  """A file is not one that `write` wrote, or it is damaged."""


def write(path: str | Path, header: dict[str, Any], tree: Any) -> None:
  """Writes the header and a tree's arrays to a file that replaces the one before.

  The file is an npz: the bytes of every leaf, and the header, which also gets to know
  what dtype and shape they have.

  Args:
    path: of the file.
    header: JSON, without the key "leaves".
    tree: of arrays.

  Raises:
    OSError: if it cannot be written; the file before is then intact.
  """
  leaves = [np.asarray(a) for a in jax.tree.leaves(tree)]
  arrays = {str(i): np.frombuffer(a.tobytes(), np.uint8) for i, a in enumerate(leaves)}
  text = json.dumps(header | {"leaves": kinds(tree)}).encode()
  with files.replacing(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)


def read(path: str | Path) -> tuple[dict[str, Any], list[bytes]]:
  """The header, and the bytes of every leaf.

  Raises:
    FileNotFoundError: if there is no file.
    Unreadable: if it is none of ours, or damaged.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      header = json.loads(file["header"].tobytes())
      count = len(header["leaves"])
      return header, [file[str(i)].tobytes() for i in range(count)]
  except FileNotFoundError:
    raise
  except _UNREADABLE as error:
    raise Unreadable(str(error)) from error


def kinds(tree: Any) -> list:
  """Dtype and shape of every leaf, as JSON gives them back."""
  return [[str(np.dtype(a.dtype)), list(a.shape)] for a in jax.tree.leaves(tree)]


def build(like: Any, data: list[bytes]) -> Any:
  """The leaves that `read` returned, in the tree `like` of arrays or their shapes."""
  leaves = [
    np.frombuffer(raw, a.dtype).reshape(a.shape)
    for raw, a in zip(data, jax.tree.leaves(like), strict=True)
  ]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)
