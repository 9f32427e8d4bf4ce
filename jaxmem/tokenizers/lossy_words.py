"""Words as tokens of a classifier, an encoder or a reader: case and spaces are lost."""

import collections
import hashlib
import json
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

from jaxmem.core import utf8
from jaxmem.tokenizers import words
from jaxmem.tokenizers.ids import OldNames, check_ids

# Ids before those of the words.
_EOS, _UNK, _FIRST = 0, 1, 2


class WordTokenizer(OldNames):
  """Lower-cased words and signs; what is not among them is one id, so text is lost.

  What is decoded is the words with spaces between, and "?" for an unknown one. Encoding
  and decoding that again changes nothing more.

  Attributes:
    vocab_size: of the words, the EOS token and the unknown.
    eos_id: 0.
    unk_id: 1, the id of every other word.
    fingerprint: SHA-256 of the words, behind "words-".
    exact: False.
    kept: name and content of the file that a run keeps.
  """

  eos_id, unk_id, exact = _EOS, _UNK, False

  def __init__(self, words: list[str]):
    """Args: the words, the most frequent first."""
    self.words = words
    self.vocab_size = len(words) + _FIRST
    content = json.dumps(words)
    self.kept = "tokenizer.json", (content + "\n").encode()
    self.fingerprint = f"words-{hashlib.sha256(content.encode()).hexdigest()}"
    self._ids = {word: i for i, word in enumerate(words, start=_FIRST)}

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """The ids of UTF-8 text.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    return self.offsets(utf8.text(data))[0]

  def offsets(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of a text, and the characters where each begins and ends."""
    found = [*words.tokens(text)]
    ids = [self._ids.get(word[0].lower(), _UNK) for word in found]
    places = np.array([word.span() for word in found], int).reshape(-1, 2)
    return np.array(ids, np.int32), places[:, 0], places[:, 1]

  def decode(self, ids: np.ndarray) -> bytes:
    """The words with spaces between; "?" for the unknown, nothing for the EOS token.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    shown = ["", "?", *self.words]
    known = check_ids(ids, self.vocab_size)
    return " ".join(shown[i] for i in known if i != _EOS).encode()


def make(texts: Iterable[bytes], vocab_size: int) -> WordTokenizer:
  """The tokenizer of the most frequent words; equal texts give equal ones.

  Args:
    texts: documents.
    vocab_size: ids at most, the EOS token and the unknown among them.

  Raises:
    NotUTF8: if a document is no text.
  """
  every = (m[0].lower() for each in texts for m in words.tokens(utf8.text(each)))
  counts = collections.Counter(every)
  ranked = sorted(counts, key=lambda word: (-counts[word], word))
  return WordTokenizer(ranked[: vocab_size - _FIRST])
