"""Documents of any length as lanes of tokens, in pieces, from any place in the middle.

A piece of each file is in memory. Where a lane stands is a few integers, and the tokens
that it has read and not returned yet, so that a reading can be stopped and continued to
the bit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.data.excerpts import name_hash
from jaxmem.tokenizers import Tokenizer

# Bytes of a file that are in memory at once, a lane.
READ_BYTES = 1 << 16


@runtime_checkable
class Document(Protocol):
  """What is read: a `data.file_slice.FileSlice`, or a `data.excerpts.Excerpt`.

  Attributes:
    name: of the document.
    size: in bytes.
    whole: whether its end can be predicted.
  """

  @property
  def name(self) -> str: ...
  @property
  def size(self) -> int: ...
  @property
  def whole(self) -> bool: ...
  def part(self, begin: int, size: int) -> bytes: ...


def deal(documents: Sequence[Document], lanes: int) -> list[list[Document]]:
  """Deals documents to lanes that end at about the same time.

  One lane reads them in their order. With several, each next document goes to the lane
  with the fewest bytes: the longest first, equally long ones by a hash of their names.
  So which lane reads what does not depend on the order of the documents.
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
    lanes: one a row.
    counts: bytes, words, tokens and documents that the lanes have taken. The EOS token
      before a document is a token, too; words are parted by ASCII white space.
  """

  def __init__(
    self,
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    rows: int = 1,
    document_length: int = 0,
  ):
    """Reads nothing yet.

    Args:
      documents: what there is to read.
      tokenizer: text to ids.
      rows: B, how many lanes.
      document_length: tokens after which a document is cut into another; 0 is never.
    """
    self.counts = {"bytes": 0, "words": 0, "tokens": 0, "documents": 0}
    self.lanes = [
      Lane(part, tokenizer, self.counts, document_length)
      for part in deal(documents, rows)
    ]

  def fill(self, length: int) -> list[np.ndarray]:
    """Returns tokens, targets, reset and position, each [B, T]; see `Lane.fill`."""
    filled = [lane.fill(length) for lane in self.lanes]
    return [np.stack(arrays) for arrays in zip(*filled, strict=True)]

  def state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Returns what a reader of the same documents continues from: JSON, and arrays."""
    places = [dict(lane.place) for lane in self.lanes]
    numbers = {"read": dict(self.counts), "rows": places}
    return numbers, [lane.line for lane in self.lanes]

  def restore(self, numbers: Mapping[str, Any], lines: Sequence[np.ndarray]) -> None:
    """Continues from what `state` returned."""
    self.counts.update(numbers["read"])
    for lane, place, line in zip(self.lanes, numbers["rows"], lines, strict=True):
      lane.restore(place, line)


class Lane:
  """Documents one behind the other: `fill` takes the next tokens.

  Attributes:
    place: where it stands, integers: the document (-1 is before the first), bytes of it
      that were read and that were encoded, whether the last one was inside a word, and
      the position of the next token.
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
    """Reads nothing yet.

    Args:
      documents: of this lane.
      tokenizer: text to ids.
      counts: of the reader, which the lane adds to.
      cut: tokens after which a document is cut; 0 is never.
    """
    self._documents, self._tokenizer = documents, tokenizer
    self._counts, self._cut = counts, cut
    self.place = {"document": -1, "read": 0, "encoded": 0, "in_word": 0, "position": 0}
    self.line = np.zeros(0, np.int32)

  def restore(self, place: Mapping[str, int], line: np.ndarray) -> None:
    """Continues from the `place` and the `line` of a lane of the same documents."""
    if "given" in place:  # the name of "encoded" before 0.2
      place = {**place, "encoded": place["given"]}
    self.place = {key: place[key] for key in self.place}
    self.line = line

  def fill(self, length: int) -> tuple[np.ndarray, ...]:
    """Returns tokens, targets, reset, position, each [T]; position -1 is not scored."""
    parts, have = [self.line], int((self.line >= 0).sum())
    while have <= length and (part := self._next()) is not None:
      parts.append(part)
      have += int((part >= 0).sum())
    line = np.concatenate(parts)
    scored = np.flatnonzero(line[1:] >= 0)[:length]
    count = len(scored)
    self.line = line[scored[-1] + 1 :] if count else line
    eos_id = self._tokenizer.eos_id
    tokens, targets = (np.full(length, eos_id, np.int32) for _ in range(2))
    tokens[:count] = np.where(line[scored] < 0, ~line[scored], line[scored])
    targets[:count] = line[scored + 1]
    reset = tokens == eos_id
    at = np.arange(length)
    begin = np.maximum.accumulate(np.where(reset, at, -1))
    position = np.where(begin >= 0, at - begin, self.place["position"] + at)
    if self._cut:
      position %= self._cut
      reset |= position == 0
    if count:
      self.place["position"] = int(position[count - 1]) + 1
    return tokens, targets, reset, np.where(at < count, position, -1)

  def _next(self) -> np.ndarray | None:
    """Returns the next ids: a piece of the document, or the EOS token before one.

    Behind the last document comes an EOS token, and then None.
    """
    place, end = self.place, len(self._documents)
    if place["document"] == end:
      return None
    whole = True
    if place["document"] >= 0:
      if text := self._piece():
        return self._encode(text)
      whole = self._documents[place["document"]].whole
    place |= {"document": place["document"] + 1, "read": 0, "encoded": 0, "in_word": 0}
    if place["document"] < end:
      self._counts["documents"] += 1
      # of a whole document the end is predicted too
      self._counts["tokens"] += self._documents[place["document"]].whole
    eos_id = self._tokenizer.eos_id
    return np.array([eos_id if whole else ~eos_id], np.int32)

  def _encode(self, text: bytes) -> np.ndarray:
    """Returns the ids of a piece, which is counted."""
    ids = np.asarray(self._tokenizer.encode(text), np.int32)
    same_word = self.place["in_word"] and not text[:1].isspace()
    words = len(text.split()) - bool(same_word)
    for key, count in {"bytes": len(text), "words": words, "tokens": len(ids)}.items():
      self._counts[key] += count
    self.place["in_word"] = int(not text[-1:].isspace())
    return ids

  def _piece(self) -> bytes:
    """Returns the next bytes, cut after an end of a line, or between characters.

    Tokens of more than a byte rarely reach over the end of a line, so few differ from
    those of the whole document; single bytes never do. The last piece is not cut.
    """
    document = self._documents[self.place["document"]]
    read, encoded = self.place["read"], self.place["encoded"]
    size = min(READ_BYTES, document.size - read)
    text = document.part(encoded, read + size - encoded)
    if len(text) < read + size - encoded:
      path = getattr(document, "path", document.name)
      raise DataError(f"{path} shrank while it was being read: run again")
    if read + size < document.size:
      # a line may be longer than a piece
      cut = text.rfind(b"\n", read - encoded) + 1 or utf8.whole(text)
      text = text[: cut or len(text)]
    self.place |= {"read": read + size, "encoded": encoded + len(text)}
    return text
