"""Words as tokens of classifiers, encoders and readers: case and spaces are lost."""

import collections
import hashlib
import json
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

from jaxmem.core import utf8
from jaxmem.tokenizers import words
from jaxmem.tokenizers.ids import OldNames, check_ids

# The ids before those of the words.
_EOS, _UNK, _FIRST = 0, 1, 2


class WordTokenizer(OldNames):
  """Lower-cased words and signs; all other words are one id, so text is lost.

  Decoding returns the words with spaces between, and "?" for an unknown one. Encoding
  and decoding these again changes nothing more.

  Attributes:
    vocab_size: the number of ids: the words, the EOS token and the unknown word.
    eos_id: 0.
    unk_id: 1, the id of every unknown word.
    fingerprint: "words-" and the SHA-256 of the words.
    exact: False.
    kept: name and content of the file that a run keeps.
  """

  eos_id, unk_id, exact = _EOS, _UNK, False

  def __init__(self, words: list[str]):
    """Builds the vocabulary.

    Args:
      words: the words, the most frequent first.
    """
    self.words = words
    self.vocab_size = len(words) + _FIRST
    content = json.dumps(words)
    self.kept = "tokenizer.json", (content + "\n").encode()
    self.fingerprint = f"words-{hashlib.sha256(content.encode()).hexdigest()}"
    self._ids = {word: i for i, word in enumerate(words, start=_FIRST)}

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    return self.offsets(utf8.text(data))[0]

  def offsets(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the ids of a text, and the characters where each begins and ends."""
    matches = [*words.tokens(text)]
    ids = [self._ids.get(match[0].lower(), _UNK) for match in matches]
    spans = np.array([match.span() for match in matches], int).reshape(-1, 2)
    return np.array(ids, np.int32), spans[:, 0], spans[:, 1]

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the words with spaces between, "?" for unknown ones, without EOS tokens.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    texts = ["", "?", *self.words]
    ids = check_ids(ids, self.vocab_size)
    return " ".join(texts[i] for i in ids if i != _EOS).encode()


def make(texts: Iterable[bytes], vocab_size: int) -> WordTokenizer:
  """Returns a tokenizer of the most frequent words; equal texts give equal ones.

  Args:
    texts: documents.
    vocab_size: the most ids, the EOS token and the unknown word included.

  Raises:
    NotUTF8: if a document is no text.
  """
  counts = collections.Counter(
    match[0].lower() for text in texts for match in words.tokens(utf8.text(text))
  )
  # ties by the word: no order of texts counts
  ranked = sorted(counts, key=lambda word: (-counts[word], word))
  return WordTokenizer(ranked[: vocab_size - _FIRST])
