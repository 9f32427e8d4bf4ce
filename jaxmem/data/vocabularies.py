"""Tokenizers that a run makes from its own training text, and keeps beside its weights.

"words:8000" has the 8,000 most frequent words, "sp:8000" is a SentencePiece model of
so many pieces. Any other name is that of a tokenizer that is there already: see
`tokenizers.get`, or the `tokenizer.json` that a run with "words:N" kept.
"""

import collections
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from jaxmem import files
from jaxmem.data import tokenizers
from jaxmem.data.errors import DataError, NotUTF8, require
from jaxmem.data.tokenizers import Tokenizer

KINDS = ("words", "sp")
# What stands in a text for what is hidden.
MASK = "[MASK]"
# What the words of a run are kept in.
KEPT = "tokenizer.json"
# A Chinese character is a word of its own.
_WORDS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")
# Ids before those of the words.
_BOUNDARY, _UNKNOWN, _FIRST = 0, 1, 2


class WordTokenizer:
  """Lower-cased words and signs; what is not among them is one id, so text is lost.

  Attributes:
    vocab_size: of the words, the boundary and the unknown.
    boundary: 0.
    unknown: 1, the id of every other word.
    fingerprint: SHA-256 of the words, behind "words-".
  """

  boundary, unknown = _BOUNDARY, _UNKNOWN

  def __init__(self, words: list[str]):
    """Args: the words, the most frequent first."""
    self.words = words
    self.vocab_size = len(words) + _FIRST
    self.fingerprint = f"words-{hashlib.sha256(json.dumps(words).encode()).hexdigest()}"
    self._ids = {word: i for i, word in enumerate(words, start=_FIRST)}

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """The ids of UTF-8 text.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    return self.offsets(_text(data))[0]

  def offsets(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of a text, and the characters where each begins and ends."""
    found = [*_WORDS.finditer(text)]
    ids = [self._ids.get(word[0].lower(), _UNKNOWN) for word in found]
    places = np.array([word.span() for word in found], int).reshape(-1, 2)
    return np.array(ids, np.int32), places[:, 0], places[:, 1]

  def decode(self, ids: np.ndarray) -> bytes:
    """The words with spaces between; "?" for the unknown, nothing for the boundary."""
    shown = ["", "?", *self.words]
    return " ".join(shown[i] for i in np.ravel(ids) if i != _BOUNDARY).encode()


class HidingTokenizer:
  """A tokenizer that reads `MASK` in a text as the id of what is hidden; see `hidden`.

  Attributes:
    vocab_size: of the tokenizer; `mask` may be the id behind them, which is never
      written.
    boundary: of the tokenizer.
    mask: the id of what is hidden.
    fingerprint: of the tokenizer, behind "hiding-".
  """

  def __init__(self, tokenizer: Tokenizer):
    """Args: what reads the text around the marks."""
    self._tokenizer = tokenizer
    self.vocab_size, self.boundary = tokenizer.vocab_size, tokenizer.boundary
    self.mask = hidden(tokenizer)
    self.fingerprint = f"hiding-{tokenizer.fingerprint}"

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """The ids of UTF-8 text.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    first, *others = data.split(MASK.encode())
    found = [self._tokenizer.encode(first)]
    for part in others:
      found += [np.array([self.mask], np.int32), self._tokenizer.encode(part)]
    return np.concatenate(found)

  def decode(self, ids: np.ndarray) -> bytes:
    """The text of ids that the tokenizer has."""
    return self._tokenizer.decode(ids)


def size(name: str) -> int:
  """Ids of the tokenizer of a name; nothing is read of those that are to be made.

  Raises:
    ValueError: if there is none, or the number is not one of at least 300.
  """
  kind, number = _parsed(name)
  return number if kind else _there(name).vocab_size


def hidden(tokenizer: Tokenizer) -> int:
  """The id in the place of what is hidden: the tokenizer's own, else one more."""
  return getattr(tokenizer, "mask", tokenizer.vocab_size)


def stranger(tokenizer: Tokenizer) -> int:
  """The id of a word that says nothing: the unknown one, so that a text whose words are
  hidden while training teaches what it is worth (Iyyer et al. 2015); else `hidden`."""
  return getattr(tokenizer, "unknown", hidden(tokenizer))


def size_with_hidden(name: str) -> int:
  """Ids of a tokenizer, one of which says that something is hidden; see `size`."""
  kind, number = _parsed(name)
  tokenizer = None if kind else _there(name)
  return number + 1 if kind else max(tokenizer.vocab_size, hidden(tokenizer) + 1)


def make(name: str, texts: Iterable[bytes]) -> Tokenizer:
  """The tokenizer of a name.

  Args:
    name: see the top of this file, and `tokenizers.get`.
    texts: what is trained on, if it is to be made.

  Raises:
    DataError: if it cannot be made of the texts.
    ValueError: see `size`.
  """
  kind, number = _parsed(name)
  if kind == "words":
    every = (word.lower() for text in texts for word in _WORDS.findall(_text(text)))
    counts = collections.Counter(every)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return WordTokenizer(ranked[: number - _FIRST])
  if kind == "sp":
    require("sentencepiece", extra="text")
    from jaxmem.data import sentencepieces

    return sentencepieces.SentencePieceTokenizer(
      sentencepieces.train(map(_text, texts), number), name
    )
  return _there(name)


def keep(tokenizer: Tokenizer, workdir: Path) -> None:
  """Writes what `kept` needs, if the tokenizer was made."""
  if isinstance(tokenizer, WordTokenizer):
    files.write_json(workdir / KEPT, tokenizer.words, indent=None)
  elif model := getattr(tokenizer, "model", b""):
    files.write_bytes(workdir / "tokenizer.model", model)


def kept(name: str, workdir: Path) -> Tokenizer:
  """The tokenizer that a run was trained with.

  Raises:
    DataError: if its file is missing or damaged.
  """
  kind, _ = _parsed(name)
  if kind == "sp":
    return tokenizers.get(str(workdir / "tokenizer.model"))
  if kind == "words":
    return WordTokenizer(_words(workdir / KEPT))
  return _there(name)


def _there(name: str) -> Tokenizer:
  """A tokenizer that is not to be made: words that a run kept, or `tokenizers.get`."""
  path = Path(name).expanduser()
  # the file of a BERT has this name too, and is an object
  if path.name == KEPT and path.is_file() and path.read_bytes()[:1] == b"[":
    return WordTokenizer(_words(path))
  return tokenizers.get(name)


def _words(path: Path) -> list[str]:
  """The words that `keep` wrote."""
  try:
    found = files.read_json(path)
    if not (isinstance(found, list) and all(isinstance(word, str) for word in found)):
      raise ValueError("it is no list of words")
  except (OSError, ValueError) as error:
    raise DataError(
      f"cannot read the words in {path}: {error}; train the run again"
    ) from error
  return found


def _parsed(name: str) -> tuple[str, int]:
  """The kind and the number of a tokenizer that is to be made, else ("", 0)."""
  kind, _, number = name.partition(":")
  if kind not in KINDS:
    return "", 0
  if not number.isdecimal() or int(number) < 300:
    raise ValueError(f"{name!r} is not {kind}:N with N of at least 300")
  return kind, int(number)


def _text(data: bytes) -> str:
  try:
    return data.decode()
  except UnicodeDecodeError as error:
    raise NotUTF8(error.start) from error
