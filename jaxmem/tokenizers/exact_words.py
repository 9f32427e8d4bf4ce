"""Words as tokens of a language model: exact on all bytes.

A text is cut into words and signs (`words`), each with the space before it if there is
one, and into the other white space between them. The most frequent of these pieces have
ids. Any other is spelled, a byte a token, so that nothing is lost and bits per byte
count it at what it costs.
"""

import array
import collections
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from jaxtyping import Int32

from jaxmem.tokenizers import words
from jaxmem.tokenizers.ids import ByteDecoder

# The format of the file that a run keeps.
FORMAT = "exact words 1"
# The order of ids: the EOS token, the bytes, the pieces.
_EOS, _BYTES, _FIRST = 0, 1, 257


class ExactWordTokenizer(ByteDecoder):
  """Words with the space before them and their case; bytes where a piece is unknown.

  Attributes:
    vocab_size: the number of ids: the EOS token, the bytes and the pieces.
    eos_id: 0.
    fingerprint: "exact-words-" and the SHA-256 of the pieces.
    exact: True; any bytes come back as they were, UTF-8 or not.
    pieces: the pieces, the most frequent first.
    kept: name and content of the file that a run keeps.
  """

  eos_id, exact = _EOS, True

  def __init__(self, pieces: list[str]):
    """Builds the vocabulary.

    Args:
      pieces: texts of two bytes or more each, the most frequent first.
    """
    self.pieces = pieces
    self.vocab_size = _FIRST + len(pieces)
    content = json.dumps({"jaxmem": FORMAT, "pieces": pieces})
    self.kept = "tokenizer.json", (content + "\n").encode()
    self.fingerprint = f"exact-words-{hashlib.sha256(content.encode()).hexdigest()}"
    self._ids = {piece: i for i, piece in enumerate(pieces, start=_FIRST)}
    single = [bytes([b]) for b in range(256)]
    self._bytes = [b"", *single, *(piece.encode() for piece in pieces)]

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of any bytes; no EOS token is added."""
    ids = array.array("i")
    for piece in _cut(data):
      piece_id = self._ids.get(piece)
      if piece_id is None:
        spelled = piece.encode(errors="surrogateescape")
        ids.extend(_BYTES + b for b in spelled)
      else:
        ids.append(piece_id)
    return np.array(ids, np.int32)


def make(texts: Iterable[bytes], vocab_size: int) -> ExactWordTokenizer:
  """Returns a tokenizer of the most frequent pieces; equal texts give equal ones.

  Args:
    texts: documents.
    vocab_size: the most ids, more than 257.
  """
  counts = collections.Counter(piece for text in texts for piece in _cut(text))
  # ties by the piece: no order of texts counts
  ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
  useful = (piece for piece in ranked if _is_useful(piece))
  return ExactWordTokenizer([*itertools.islice(useful, vocab_size - _FIRST)])


def _is_useful(piece: str) -> bool:
  """Returns whether a piece is text and longer than a byte, which has an id anyway."""
  try:
    return len(piece.encode()) > 1
  except UnicodeEncodeError:  # bytes that are not UTF-8
    return False


def _cut(data: bytes) -> Iterator[str]:
  """Yields the pieces that make a text; bytes that are not UTF-8 become surrogates."""
  return (m[0] for m in _pattern().finditer(data.decode(errors="surrogateescape")))


@cache
def _pattern() -> re.Pattern[str]:
  # white space stops before the one space that belongs to the next word
  return re.compile(rf" ?(?:{words.pattern().pattern})|\s+(?= \S)|\s+")
