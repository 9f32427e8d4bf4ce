"""Documents of any length as lanes of tokens, read in pieces.

Only a piece of each file is in memory. The state of a lane is a few integers and the
tokens that it has read and not returned yet, so that a reading can be stopped and
continued, bit for bit.

What is predicted of a document, and so scored: all its tokens, and after a whole one
the EOS token. What begins a document, see `tokenizers.start_id`, is read and never a
target of its own: where that is the EOS token, it is the one that ends the document
before. A tokenizer with nothing before a document gives its first token no context; it
is read, not predicted, and neither its bytes nor the token are counted, so that bits
per byte divide the bits of what is predicted by the bytes of what is predicted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.data.excerpts import name_hash
from jaxmem.tokenizers import Tokenizer, continuation, start_id

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
    counts: bytes, words, tokens and documents that the lanes have read, as far as they
      are predicted; the EOS token after a whole document is a token, too. ASCII white
      space separates words; a word counts if a byte of it is predicted.
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
      bytes were read and encoded, whether it has a token, whether its last byte was
      inside a word, and the position of the next token.
    line: ids that were read and not returned. `~id` is a token that is no target: one
      that begins a document, an EOS token only where the document before it was cut.
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
    self._start = start_id(tokenizer)
    self._parts = self._start == tokenizer.eos_id  # one token ends and begins
    self.cursor = {"document": -1, "read": 0, "encoded": 0, "in_word": 0, "position": 0}
    self.cursor["begun"] = 0
    self.line = np.zeros(0, np.int32)

  def restore(self, cursor: Mapping[str, int], line: np.ndarray) -> None:
    """Continues from the `cursor` and the `line` of a lane of the same documents."""
    if "given" in cursor:  # the name of "encoded" before 0.2
      cursor = {**cursor, "encoded": cursor["given"]}
    # a state of an earlier version does not say whether a document has a token
    begun = int(cursor["encoded"] > 0)
    self.cursor = {key: cursor.get(key, begun) for key in self.cursor}
    self.line = line

  def fill(self, length: int) -> tuple[np.ndarray, ...]:
    """Returns tokens, targets, reset, position, each [T]; position -1 is not scored."""
    parts, num_targets = [self.line], int((self.line >= 0).sum())
    while num_targets <= length and (part := self._next()) is not None:
      parts.append(part)
      num_targets += int((part >= 0).sum())
    line = np.concatenate(parts)
    # a token is read unless the next id is no target
    scored = np.flatnonzero(line[1:] >= 0)[:length]
    count = len(scored)
    self.line = line[scored[-1] + 1 :] if count else line
    eos_id = self._tokenizer.eos_id
    # the end of the last document is padded with EOS tokens, which are not scored
    tokens, targets = (np.full(length, eos_id, np.int32) for _ in range(2))
    begins = line[scored] < 0
    tokens[:count] = np.where(begins, ~line[scored], line[scored])
    targets[:count] = line[scored + 1]
    reset, at = (tokens == eos_id) & self._parts, np.arange(length)
    reset[:count] |= begins
    begin = np.maximum.accumulate(np.where(reset, at, -1))  # of each token's document
    position = np.where(begin >= 0, at - begin, self.cursor["position"] + at)
    if self._cut:
      position %= self._cut
      reset |= position == 0
    if count:
      self.cursor["position"] = int(position[count - 1]) + 1
    return tokens, targets, reset, np.where(at < count, position, -1)

  def _next(self) -> np.ndarray | None:
    """Returns the next ids: a piece of the document, or what is between two.

    After the last document comes what ends it, and then None.
    """
    cursor, end = self.cursor, len(self._documents)
    if cursor["document"] == end:
      return None
    ends = was_whole = True
    if cursor["document"] >= 0:
      if text := self._piece():
        return self._encode(text)
      was_whole = self._documents[cursor["document"]].whole
      # a document without a token has nothing that its end can be predicted from
      ends = was_whole and (self._start is not None or bool(cursor["begun"]))
      self._counts["tokens"] += ends if self._start is None else 0
    cursor |= {
      "document": cursor["document"] + 1,
      "read": 0,
      "encoded": 0,
      "begun": 0,
      "in_word": 0,
    }
    if is_next := cursor["document"] < end:
      self._counts["documents"] += 1
      if self._start is not None:
        # the EOS token after a whole document is predicted, so it is one that counts
        self._counts["tokens"] += self._documents[cursor["document"]].whole
    eos_id = self._tokenizer.eos_id
    if self._parts:
      return np.array([eos_id if was_whole else ~eos_id], np.int32)
    begins = [~self._start] if is_next and self._start is not None else []
    # before the first document nothing ends
    return np.array([eos_id] * (ends and cursor["document"] > 0) + begins, np.int32)

  def _encode(self, text: bytes) -> np.ndarray:
    """Returns the ids of a piece, and adds what is predicted of it to the counts."""
    cursor = self.cursor
    is_first = cursor["encoded"] == len(text)
    tokenizer = self._tokenizer if is_first else continuation(self._tokenizer)
    ids = np.array(tokenizer.encode(text), np.int32)
    predicted, num_tokens = text, len(ids)
    if self._start is None and num_tokens and not cursor["begun"]:
      predicted = text[len(tokenizer.decode(ids[:1])) :]
      num_tokens -= 1
      ids[0] = ~ids[0]
    cursor["begun"] |= int(len(ids) > 0)
    # a word that is divided between two pieces counts once
    same_word = cursor["in_word"] and not predicted[:1].isspace()
    words = len(predicted.split()) - bool(same_word)
    counts = {"bytes": len(predicted), "words": words, "tokens": num_tokens}
    for key, count in counts.items():
      self._counts[key] += count
    cursor["in_word"] = int(bool(predicted) and not predicted[-1:].isspace())
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
