"""A reading of long text that was left, kept in a directory, and continued.

With the same versions and device kind the sums of a reading that was stopped any number
of times are bitwise those of one that was not.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.core.errors import UserError
from jaxmem.data.file_slice import FileSlice
from jaxmem.generation.session import as_of_now
from jaxmem.runtime import array_file
from jaxmem.tasks.language_modeling.stream import Reading

# Raised when the layout of the file changes in a way that older code cannot read.
FORMAT = 1
_BYTES = 1 << 20


class ProgressError(UserError):
  """The directory holds another reading, or cannot be used; names what differs."""


class Progress:
  """The file of a reading in a directory: its memory, its sums and where it stands."""

  def __init__(self, directory: Path, belongs: dict[str, Any], every: float):
    """Looks at what is there, which costs nothing.

    Args:
      directory: exists; one reading has it.
      belongs: what the reading is of, JSON; a file of something else is refused.
      every: seconds between saves.

    Raises:
      ProgressError: if the file is damaged, or of another reading.
    """
    self.path = directory / "reading.npz"
    self._belongs, self._every, self._saved = belongs, every, time.monotonic()
    self._header, self._data = self._read()
    self.seconds, self.peak = 0.0, 0.0
    if self._header:
      self.seconds, self.peak = self._header["seconds"], self._header["peak"]
      self._compare(belongs)

  @property
  def begun(self) -> bool:
    """Whether there is something to continue from."""
    return bool(self._header)

  def restore(self, reading: Reading, model: dict[str, str]) -> None:
    """Lets the reading continue where it was left, if it was ever begun.

    Args:
      reading: that has read nothing yet.
      model: what model and weights it is of; see `jaxmem.generation.session.belongs`.

    Raises:
      ProgressError: if the file is of another model, or damaged.
    """
    self._belongs = self._belongs | model
    if not self.begun:
      return
    self._compare(model)
    header, data = self._header, self._data
    self._data = []
    try:
      states, sums, tokens = reading.kept()[1]
      # what a row has read and not given has any length
      lengths = [shape[0] for _, shape in header["leaves"][-len(tokens) :]]
      tokens = [jax.ShapeDtypeStruct((n,), "int32") for n in lengths]
      like = (states, sums, tokens)
      if header["leaves"] != array_file.kinds(like):
        raise ValueError("it holds other arrays")
      states, sums, tokens = array_file.build(like, data)
      copied = jax.tree.map(lambda a: a.copy(), (sums, tokens))
      states = jax.tree.map(jnp.array, states)  # copies, to be donated
      reading.go_on(header["numbers"], (states, *copied))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
      raise self._damaged(error) from error

  def due(self) -> bool:
    """Whether the next save is due."""
    return time.monotonic() - self._saved >= self._every

  def save(self, reading: Reading, seconds: float, peak: float) -> None:
    """Writes the reading as it stands; the file before is replaced at once.

    Args:
      reading: between two calls.
      seconds: that it has taken so far.
      peak: the most memory of its processes so far, in MiB.

    Raises:
      ProgressError: if it cannot be written.
    """
    numbers, arrays = reading.kept()
    header = {
      "format": FORMAT,
      "belongs": self._belongs,
      "numbers": numbers,
      "seconds": seconds,
      "peak": peak,
    }
    try:
      array_file.write(self.path, header, arrays)
    except OSError as error:
      raise ProgressError(
        f"cannot write to {self.path}: {error.strerror}; what was there is intact: "
        "free the disk, or name another --progress"
      ) from error
    self._saved = time.monotonic()

  def _read(self) -> tuple[dict[str, Any], list[bytes]]:
    try:
      header, data = array_file.read(self.path)
    except FileNotFoundError:
      return {}, []
    except array_file.Unreadable as error:
      raise self._damaged(error) from error
    if header.get("format") != FORMAT:
      raise ProgressError(
        f"{self.path} has format {header.get('format')}, this jaxmem reads {FORMAT}: "
        "name another --progress"
      )
    return header, data

  def _compare(self, wanted: dict[str, Any]) -> None:
    saved = as_of_now(self._header["belongs"])
    for key, value in wanted.items():
      if saved.get(key) != value:
        raise ProgressError(
          f"{self.path} was begun with {key} {saved.get(key)}, this command has "
          f"{value}: give the same again, or name another --progress"
        )

  def _damaged(self, error: Exception) -> ProgressError:
    return ProgressError(
      f"{self.path} is no reading that was left, or damaged ({error}): name another "
      "--progress, or delete it and read again"
    )


def digest(documents: Sequence[FileSlice]) -> str:
  """SHA-256, shortened, over the names, sizes and bytes of all documents.

  Read once through, which takes a small part of the time that a model takes.
  """
  sha = hashlib.sha256()
  for document in documents:
    sha.update(f"{document.name}\n{document.size}\n".encode())
    for begin in range(0, document.size, _BYTES):
      sha.update(document.part(begin, _BYTES))
  return sha.hexdigest()[:16]
