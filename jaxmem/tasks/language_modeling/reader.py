"""Documents of any length as rows of tokens, in pieces, from any place in the middle.

What is in memory of a file is a piece of it, and what a row stands on is a few integers
and the tokens that it has read and not given yet: so a reading can be left and
continued, to the bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.data.file_slice import FileSlice
from jaxmem.tokenizers import Tokenizer

# Bytes of a file that are in memory at once, a row.
READ_BYTES = 1 << 16


class Reader:
  """Documents one after the other, for whichever row asks next.

  Attributes:
    documents: what there is to read.
    tokenizer: text to ids.
    counts: bytes, words, tokens and documents that rows have taken; a token is also the
      EOS token before a document, a word what white space (of ASCII) parts.
  """

  def __init__(self, documents: Sequence[FileSlice], tokenizer: Tokenizer):
    self.documents, self.tokenizer = documents, tokenizer
    self.counts = {"bytes": 0, "words": 0, "tokens": 0, "documents": 0}

  def next_document(self) -> int | None:
    """The index of a document that no row has begun."""
    if self.counts["documents"] == len(self.documents):
      return None
    self.counts["documents"] += 1
    self.counts["tokens"] += 1
    return self.counts["documents"] - 1

  def encode(self, text: bytes, inside_word: bool) -> np.ndarray:
    """The ids of a piece, which is counted; `inside_word`: it continues with a word."""
    ids = np.asarray(self.tokenizer.encode(text), np.int32)
    words = len(text.split()) - (inside_word and not text[:1].isspace())
    new = {"bytes": len(text), "words": words, "tokens": len(ids)}
    for key, count in new.items():
      self.counts[key] += count
    return ids


class Row:
  """A lane of documents: `fill` takes its next tokens, and continues where it was."""

  def __init__(self, reader: Reader, cut: int):
    """Args: where documents come from; tokens after which one is cut, 0 for never."""
    self._reader, self._cut = reader, cut
    self._tokens = np.zeros(0, np.int32)
    # -1 is before the first document, and `len(documents)` behind the last
    self._at = {"document": -1, "read": 0, "given": 0, "in_word": 0, "position": 0}

  def kept(self) -> tuple[dict[str, int], np.ndarray]:
    """All that a row of the same documents continues from: JSON, and tokens."""
    return dict(self._at), self._tokens

  def go_on(self, at: dict[str, int], tokens: np.ndarray) -> None:
    """Continues from what `kept` returned."""
    self._at, self._tokens = dict(at), tokens

  def fill(self, length: int) -> tuple[np.ndarray, ...]:
    """tokens, targets, reset, position, each [length]; position -1 is not scored."""
    parts, have = [self._tokens], len(self._tokens)
    while have <= length and (part := self._next()) is not None:
      parts.append(part)
      have += len(part)
    line = np.concatenate(parts)
    count = max(min(len(line) - 1, length), 0)
    self._tokens = line[count:]
    eos_id = self._reader.tokenizer.eos_id
    padded = np.full(length + 1, eos_id, np.int32)
    padded[: count + 1] = line[: count + 1]
    tokens, targets = padded[:-1], padded[1:]
    reset = tokens == eos_id
    at = np.arange(length)
    begun = np.maximum.accumulate(np.where(reset, at, -1))
    position = np.where(begun >= 0, at - begun, self._at["position"] + at)
    if self._cut:
      position %= self._cut
      reset |= position == 0
    if count:
      self._at["position"] = int(position[count - 1]) + 1
    return tokens, targets, reset, np.where(at < count, position, -1)

  def _next(self) -> np.ndarray | None:
    """The row's next tokens: a piece of its document, or the EOS token before one.

    Behind the last document comes an EOS token, and then None.
    """
    at, end = self._at, len(self._reader.documents)
    if at["document"] == end:
      return None
    if at["document"] >= 0 and (text := self._piece()):
      ids = self._reader.encode(text, bool(at["in_word"]))
      at["in_word"] = int(not text[-1:].isspace())
      return ids
    new = self._reader.next_document()
    at |= {"document": end if new is None else new, "read": 0, "given": 0, "in_word": 0}
    return np.array([self._reader.tokenizer.eos_id], np.int32)

  def _piece(self) -> bytes:
    """A document's next bytes, cut after an end of a line, or between characters.

    Tokens of more than a byte rarely reach over the end of a line, so few differ from
    those of the whole document; single bytes never do.
    """
    document = self._reader.documents[self._at["document"]]
    read, given = self._at["read"], self._at["given"]
    size = min(READ_BYTES, document.size - read)
    text = _bytes(document, given, read + size - given)
    cut = text.rfind(b"\n", read - given) + 1 if size else 0
    if read + size < document.size:
      cut = cut or utf8.whole(text)  # a line may be longer than a piece
    text = text[: cut or len(text)]
    self._at |= {"read": read + size, "given": given + len(text)}
    return text


def _bytes(document: FileSlice, begin: int, size: int) -> bytes:
  """Bytes of a document from the `begin`-th on."""
  text = document.part(begin, size)
  if len(text) < size:
    raise DataError(f"{document.path} shrank while it was being read: run again")
  return text


def kept(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
  """What several rows continue from: JSON, and arrays."""
  pairs = [row.kept() for row in rows]
  return [at for at, _ in pairs], [tokens for _, tokens in pairs]
