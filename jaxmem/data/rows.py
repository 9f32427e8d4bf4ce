"""The batches of a run: which examples a step reads, and the arrays made of them."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64

from jaxmem.data.epochs import StepOrder

Batch = dict[str, np.ndarray]


class Rows:
  """The batch of every step, as a random-access source; see `tasks.Rows`.

      rows = Rows(Epochs(len(examples), 32, seed=0), collate, fingerprint(choices))
      rows[step]["rows"]  # step * 32 + row, for each row of this process

  Attributes:
    epochs: which items each step reads.
    collate: see `__init__`.
    fingerprint: SHA-256 over all that decides what a step reads.
    tokenizer: the tokenizer's fingerprint; empty where no text is read.
  """

  def __init__(
    self,
    epochs: StepOrder,
    collate: Callable[[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]], Batch],
    fingerprint: str,
    tokenizer: str = "",
  ):
    """Reads nothing yet.

    Args:
      epochs: `epochs[step]` are the numbers of the rows and the items they read.
      collate: makes a batch of items and the numbers of their rows; a pure function,
        since several threads call it.
      fingerprint: that of everything which decides a batch, see `fingerprint` below.
      tokenizer: the tokenizer's fingerprint.
    """
    self.epochs, self.collate = epochs, collate
    self.fingerprint, self.tokenizer = fingerprint, tokenizer

  def __len__(self) -> int:
    return len(self.epochs)

  def __getitem__(self, step: int) -> Batch:
    numbers, items = self.epochs[step]
    return self.collate(items, numbers) | {"rows": numbers}


def fingerprint(decides: Any, content: Iterable[bytes] = ()) -> str:
  """Returns the SHA-256 over all that decides which batch a step reads.

  A checkpoint keeps it and a step number, no data: an equal fingerprint proves that the
  step still means the same batch, another one that the data have changed since.

  Args:
    decides: the name and version of the format, and every choice, as plain JSON.
    content: bytes of the data themselves, in an order that is always the same.
  """
  # JSON gives the same text on any machine and version, unlike repr or a pickle
  sha = hashlib.sha256(json.dumps(decides).encode())
  for part in content:
    sha.update(part)
  return sha.hexdigest()
