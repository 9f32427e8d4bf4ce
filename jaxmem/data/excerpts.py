"""A fixed part of the documents of a split: every score of it reads the same bytes."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxmem.core import utf8
from jaxmem.core.errors import UserError

# Longer documents are cut here, so that lanes stay of even length.
MAX_DOCUMENT = 32_768


class Excerpt(NamedTuple):
  """A document, or its beginning; it is read as a `data.file_slice.FileSlice` is.

  Attributes:
    name: the document's name.
    text: its first bytes.
    whole: whether these are all, so that the end of the document can be predicted.
  """

  name: str
  text: bytes
  whole: bool

  @property
  def size(self) -> int:
    """Bytes of the text."""
    return len(self.text)

  def part(self, begin: int, size: int) -> bytes:
    """Returns `size` bytes from the `begin`-th on; fewer at the end of the text."""
    return self.text[begin : begin + size]


def name_hash(name: str) -> bytes:
  """Returns SHA-256 of a name, by which documents are sorted."""
  return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def choose(documents: Sequence[Any], num_bytes: int) -> list[Excerpt]:
  """Chooses a fixed part of documents, in the order of a hash of their names.

  Args:
    documents: objects with `name` and `text`.
    num_bytes: the size of the part, which has one character at least. The last document
      is cut there, and each at `MAX_DOCUMENT`, between two characters.

  Returns:
    At least one excerpt.

  Raises:
    UserError: if no document has any text.
  """
  names = [(d.name, i) for i, d in enumerate(documents) if len(d.text)]
  names.sort(key=lambda pair: name_hash(pair[0]))
  excerpts, left = [], num_bytes
  for name, i in names:
    if left <= 0:
      break
    text = documents[i].text
    cut = utf8.border(text, min(MAX_DOCUMENT, left, len(text)))
    if not cut and not excerpts:  # a character has at most 4 bytes, and needs more room
      ends = (utf8.border(text, size) for size in range(1, min(len(text), 4) + 1))
      cut = next(end for end in ends if end)
    if not cut:
      break
    excerpts.append(Excerpt(name, text[:cut], cut == len(text)))
    left -= cut
  if not excerpts:
    raise UserError("the held-out documents have no text: give others, or more")
  return excerpts
