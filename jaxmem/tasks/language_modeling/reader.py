"""Documents of any length as lanes of tokens, read in pieces.

Only a piece of each file is in memory. The state of a lane is a few integers and the
tokens that it has read and not returned yet, so that a reading can be stopped and
continued, bit for bit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.data.excerpts import name_hash
from jaxmem.tokenizers import Tokenizer

# How many bytes of a file a lane has in memory at once.
READ_BYTES = 1 << 16


@runtime_checkable
class Document(Protocol):
  """A text: a `data.file_slice.FileSlice`, or a `data.excerpts.Excerpt`."""

  @property
  def name(self) -> str:
    """The name of the document."""
    ...

  @property
  def size(self) -> int:
    """Its bytes."""
    ...

  @property
  def whole(self) -> bool:
    """Whether its end is that of the text, so that the EOS token can be predicted."""
    ...

  def part(self, begin: int, size: int) -> bytes:
    """Returns `size` bytes from byte `begin`."""
    ...


def deal(documents: Sequence[Document], lanes: int) -> list[list[Document]]:
  """Deals documents to lanes that end at about the same time.

  One lane reads them in their order. With several, each next document goes to the lane
  with the fewest bytes: the longest first, equally long ones by a hash of their names.
  So the lane of a document does not depend on the order of the documents.
  """
  if lanes == 1:
    return [list(documents)]
  sized = [(d.size + d.whole, d) for d in documents]  # in bytes, the end counted
  sized.sort(key=lambda pair: (-pair[0], name_hash(pair[1].name)))
  dealt: list[list[Document]] = [[] for _ in range(lanes)]
  sizes = [0] * lanes
  for size, document in sized:
    lane = sizes.index(min(sizes))
    dealt[lane].append(document)
    sizes[lane] += size
  return dealt


class Reader:
  """Several lanes of documents, read side by side.

  Attributes:
    lanes: one lane a row.
    counts: bytes, words, tokens and documents that the lanes have read. The EOS token
      before a document is a token, too; ASCII white space separates words.
  """

  def __init__(
    self,
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    rows: int = 1,
    document_length: int = 0,
  ):
    """Deals the documents; no text is read yet.

    Args:
      documents: the documents of all lanes.
      tokenizer: text to ids.
      rows: B, how many lanes.
      document_length: the most tokens between two resets of a document; 0 resets only
        at its beginning.
    """
    self.counts = {"bytes": 0, "words": 0, "tokens": 0, "documents": 0}
    self.lanes = [
      Lane(part, tokenizer, self.counts, document_length)
      for part in deal(documents, rows)
    ]

  def fill(self, length: int) -> list[np.ndarray]:
    """Returns tokens, targets, reset and position, each [B, T]; see `Lane.fill`."""
    filled = [lane.fill(length) for lane in self.lanes]
    return [np.stack(arrays) for arrays in zip(*filled, strict=True)]  # B x [T]

  def state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Returns the state that a reader of the same documents continues from."""
    cursors = [dict(lane.cursor) for lane in self.lanes]
    numbers = {"read": dict(self.counts), "rows": cursors}
    return numbers, [lane.line for lane in self.lanes]

  def restore(self, numbers: Mapping[str, Any], lines: Sequence[np.ndarray]) -> None:
    """Continues from what `state` returned."""
    self.counts.update(numbers["read"])
    for lane, cursor, line in zip(self.lanes, numbers["rows"], lines, strict=True):
      lane.restore(cursor, line)


class Lane:
  """Documents in a row: `fill` returns the next tokens.

  Attributes:
    cursor: integers: the index of the document (-1 before the first), how many of its
      bytes were read and encoded, whether the last one was inside a word, and the
      position of the next token.
    line: ids that were read and not returned. `~eos_id` is an EOS token that is no
      target, because the document before it was cut.
  """

  def __init__(
    self,
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    counts: dict[str, int],
    cut: int,
  ):
    """Starts before the first document; no text is read yet.

    Args:
      documents: the documents of this lane.
      tokenizer: text to ids.
      counts: the counts of the reader, which the lane adds to.
      cut: the most tokens between two resets of a document; 0 is no bound.
    """
    self._documents, self._tokenizer = documents, tokenizer
    self._counts, self._cut = counts, cut
    self.cursor = {"document": -1, "read": 0, "encoded": 0, "in_word": 0, "position": 0}
    self.line = np.zeros(0, np.int32)

  def restore(self, cursor: Mapping[str, int], line: np.ndarray) -> None:
    """Continues from the `cursor` and the `line` of a lane of the same documents."""
    if "given" in cursor:  # the name of "encoded" before 0.2
      cursor = {**cursor, "encoded": cursor["given"]}
    self.cursor = {key: cursor[key] for key in self.cursor}
    self.line = line

  def fill(self, length: int) -> tuple[np.ndarray, ...]:
    """Returns tokens, targets, reset, position, each [T]; position -1 is not scored."""
    parts, num_targets = [self.line], int((self.line >= 0).sum())
    while num_targets <= length and (part := self._next()) is not None:
      parts.append(part)
      num_targets += int((part >= 0).sum())
    line = np.concatenate(parts)
    # a token is scored unless the next id is `~eos_id`, which is no target
    scored = np.flatnonzero(line[1:] >= 0)[:length]
    count = len(scored)
    self.line = line[scored[-1] + 1 :] if count else line
    eos_id = self._tokenizer.eos_id
    # the end of the last document is padded with EOS tokens, which are not scored
    tokens, targets = (np.full(length, eos_id, np.int32) for _ in range(2))
    tokens[:count] = np.where(line[scored] < 0, ~line[scored], line[scored])
    targets[:count] = line[scored + 1]
    reset = tokens == eos_id
    at = np.arange(length)
    begin = np.maximum.accumulate(np.where(reset, at, -1))  # of each token's document
    position = np.where(begin >= 0, at - begin, self.cursor["position"] + at)
    if self._cut:
      position %= self._cut
      reset |= position == 0
    if count:
      self.cursor["position"] = int(position[count - 1]) + 1
    return tokens, targets, reset, np.where(at < count, position, -1)

  def _next(self) -> np.ndarray | None:
    """Returns the next ids: a piece of the document, or the EOS token before one.

    After the last document comes an EOS token, and then None.
    """
    cursor, end = self.cursor, len(self._documents)
    if cursor["document"] == end:
      return None
    was_whole = True
    if cursor["document"] >= 0:
      if text := self._piece():
        return self._encode(text)
      was_whole = self._documents[cursor["document"]].whole
    cursor |= {
      "document": cursor["document"] + 1,
      "read": 0,
      "encoded": 0,
      "in_word": 0,
    }
    if cursor["document"] < end:
      self._counts["documents"] += 1
      # the EOS token after a whole document is predicted, so it is a token that counts
      self._counts["tokens"] += self._documents[cursor["document"]].whole
    eos_id = self._tokenizer.eos_id
    return np.array([eos_id if was_whole else ~eos_id], np.int32)

  def _encode(self, text: bytes) -> np.ndarray:
    """Returns the ids of a piece, and adds it to the counts."""
    ids = np.asarray(self._tokenizer.encode(text), np.int32)
    # a word that is divided between two pieces counts once
    same_word = self.cursor["in_word"] and not text[:1].isspace()
    words = len(text.split()) - bool(same_word)
    for key, count in {"bytes": len(text), "words": words, "tokens": len(ids)}.items():
      self._counts[key] += count
    self.cursor["in_word"] = int(not text[-1:].isspace())
    return ids

  def _piece(self) -> bytes:
    """Returns the next bytes, cut after an end of a line, or between characters.

    Tokens of more than a byte rarely cross the end of a line, so few differ from those
    of the whole document; single bytes never do. The last piece is not cut.
    """
    document = self._documents[self.cursor["document"]]
    read, encoded = self.cursor["read"], self.cursor["encoded"]
    size = min(READ_BYTES, document.size - read)
    # bytes after the last cut were read before, and are read again with what follows
    text = document.part(encoded, read + size - encoded)
    if len(text) < read + size - encoded:
      path = getattr(document, "path", document.name)
      raise DataError(f"{path} shrank while it was being read: run again")
    if read + size < document.size:
      # a line that is longer than a piece is cut between characters
      cut = text.rfind(b"\n", read - encoded) + 1 or utf8.whole(text)
      text = text[: cut or len(text)]
    self.cursor |= {"read": read + size, "encoded": encoded + len(text)}
    return text
