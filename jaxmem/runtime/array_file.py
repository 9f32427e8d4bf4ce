"""Arrays and a JSON header in one file, which appears whole or not at all; no pickle.

A session or the state of a reading is kept in such a file. A process may be killed at
any byte: the file is written beside the old one and then takes its name, so that no
reader ever meets a torn file. Nothing in it is executed, so that a file from somebody
else can only be wrong.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core import files

# The errors that NumPy raises on a file that is not ours, or that its answers lead to.
_UNREADABLE = (
  OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
  MemoryError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


class Unreadable(ValueError):
  """Raised for a file that `write` did not write, or that is damaged."""


def write(path: str | Path, header: dict[str, Any], tree: Any) -> None:
  """Writes a header and a tree's arrays to a file that replaces the old one.

  The file is an npz: the bytes of every leaf, and the header with their dtypes and
  shapes. Bytes are kept instead of arrays, as npz does not know bfloat16.

  Args:
    path: the file.
    header: JSON without the key "leaves".
    tree: a tree of arrays.

  Raises:
    OSError: if it cannot be written; the old file is then intact.
  """
  leaves = [np.asarray(a) for a in jax.tree.leaves(tree)]
  arrays = {str(i): np.frombuffer(a.tobytes(), np.uint8) for i, a in enumerate(leaves)}
  text = json.dumps(header | {"leaves": kinds(tree)}).encode()
  with files.replacing(path) as temporary, open(temporary, "wb") as file:
    # a header of bytes: as an object array it would be a pickle
    np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)


def read(path: str | Path) -> tuple[dict[str, Any], list[bytes]]:
  """Reads the header, and the bytes of every leaf.

  Raises:
    FileNotFoundError: if there is no file.
    Unreadable: if `write` did not write it, or it is damaged.
  """
  try:
    # a pickle would run code of whoever made the file
    with np.load(path, allow_pickle=False) as file:
      header = json.loads(file["header"].tobytes())
      count = len(header["leaves"])
      return header, [file[str(i)].tobytes() for i in range(count)]
  except FileNotFoundError:
    raise
  except _UNREADABLE as error:
    raise Unreadable(str(error)) from error


def kinds(tree: Any) -> list:
  """Returns dtype and shape of every leaf, as they come back from JSON."""
  return [[str(np.dtype(a.dtype)), list(a.shape)] for a in jax.tree.leaves(tree)]


def build(like: Any, data: list[bytes]) -> Any:
  """Returns the leaves that `read` returned as arrays in a tree.

  Args:
    like: a tree of arrays or of their shapes, as it was written.
    data: the bytes of every leaf.
  """
  leaves = [
    np.frombuffer(raw, a.dtype).reshape(a.shape)
    for raw, a in zip(data, jax.tree.leaves(like), strict=True)
  ]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)
