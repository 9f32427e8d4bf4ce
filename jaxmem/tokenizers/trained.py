"""Tokenizers that a run makes from its own training text, and keeps beside its weights.

"sp:8000" is a SentencePiece model of 8,000 pieces, exact on all text. "words:8000" has
the 8,000 most frequent words: for a job that measures bits per byte they are exact, see
`exact_words`; for others they lose text, see `lossy_words`. Any other name is that of a
tokenizer that is there already: see `tokenizers.get`, or the `tokenizer.json` that a
run kept.

What is held out never enters a vocabulary, and equal texts give equal tokenizers.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxmem import tokenizers
from jaxmem.core import files, ranges, utf8
from jaxmem.core.errors import DataError, NotUTF8, shown
from jaxmem.core.extras import require
from jaxmem.tokenizers import Tokenizer, exact_words, ids, is_exact, lossy_words
from jaxmem.tokenizers.exact_words import ExactWordTokenizer
from jaxmem.tokenizers.ids import MOST_IDS
from jaxmem.tokenizers.lossy_words import WordTokenizer

# Kind of a tokenizer that is to be made -> the fewest ids it can have.
KINDS = {"words": 300, "sp": 262}
# What stands in a text for what is hidden.
MASK = "[MASK]"
# What a run keeps its tokenizer in, if it is no SentencePiece model.
KEPT = "tokenizer.json"


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


def is_made(name: str) -> bool:
  """Whether a run makes the tokenizer of a name.

  Raises:
    ValueError: if it would, and the number is out of range.
  """
  return bool(_parsed(name)[0])


def size(name: str, exact: bool = False) -> int:
  """Ids of the tokenizer of a name; nothing is read of those that are to be made.

  Args:
    name: see the top of this file.
    exact: whether it must give back the text it is given.

  Raises:
    ValueError: if there is none, the number is out of range, or it is not exact.
  """
  kind, number = _parsed(name)
  if kind:
    return number
  tokenizer = get(name)
  if exact and not is_exact(tokenizer):
    raise ValueError(
      f"{name!r} loses text, so bits per byte would mean nothing: take byte, sp:N, "
      "words:N, or the path of a SentencePiece .model"
    )
  return tokenizer.vocab_size


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
  if kind:
    return number + 1
  tokenizer = get(name)
  return max(tokenizer.vocab_size, hidden(tokenizer) + 1)


def make(name: str, texts: Iterable[bytes], exact: bool = False) -> Tokenizer:
  """The tokenizer of a name.

  Args:
    name: see the top of this file, and `tokenizers.get`.
    texts: what is trained on, if it is to be made.
    exact: whether words must give back the text.

  Raises:
    DataError: if it cannot be made of the texts.
    ValueError: see `size`.
  """
  kind, number = _parsed(name)
  if kind == "words":
    if exact:
      return exact_words.make(texts, number)
    return lossy_words.make(texts, number)
  if kind == "sp":
    require("sentencepiece", extra="text")
    from jaxmem.tokenizers import sentencepiece

    try:
      model = sentencepiece.train(map(utf8.text, texts), number)
    except NotUTF8:
      raise
    except DataError as error:
      raise DataError(f"tokenizer {name!r} cannot be made: {error}") from error
    return sentencepiece.SentencePieceTokenizer(model, name)
  return get(name)


def keep(tokenizer: Tokenizer, workdir: str | Path) -> None:
  """Writes what `kept` reads, unless the library itself has the tokenizer."""
  if kept := getattr(tokenizer, "kept", None):
    name, content = kept
    files.write_bytes(Path(workdir) / name, content)


def kept(name: str, workdir: str | Path) -> Tokenizer:
  """The tokenizer that a run was trained with.

  Args:
    name: of the run's config.
    workdir: of the run.

  Raises:
    DataError: if its file is missing or damaged.
  """
  path = Path(workdir) / file_name(name)
  if is_made(name) and not path.is_file():
    raise DataError(f"{path} is missing, which {name!r} made: train the run again")
  # runs of earlier versions kept no copy of a tokenizer that was there before
  return get(str(path) if _is_path(name) and path.is_file() else name)


def kept_name(name: str, workdir: str | Path) -> str:
  """The name of the tokenizer that a run kept, if it can be read; else `name`."""
  path = Path(workdir) / file_name(name)
  if not _is_path(name) or not path.is_file():
    return name
  try:
    get(str(path))
  except DataError:
    return name
  return str(path)


def get(name: str) -> Tokenizer:
  """A tokenizer that is there: what a run kept as tokenizer.json, or `tokenizers.get`.

  Raises:
    DataError: see `tokenizers.get`.
    ValueError: if there is none of that name.
  """
  path = Path(name).expanduser()
  if path.name != KEPT:
    return tokenizers.get(name)
  try:
    found = files.read_json(path)
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; give a tokenizer.json"
    ) from error
  except ValueError as error:
    raise DataError(
      f"{path} is damaged ({error}): train the run again, or fetch the file again"
    ) from error
  if isinstance(found, list):
    return WordTokenizer(_strings(found, path))
  match found.get("jaxmem") if isinstance(found, dict) else None:
    case exact_words.FORMAT:
      return ExactWordTokenizer(_strings(found.get("pieces"), path))
    case ids.BYTE_PAIRS:
      return tokenizers.byte_pairs(found.get("parts"), str(path))
  return tokenizers.get(name)  # the file of a BERT has this name too


def _strings(found: Any, path: Path) -> list[str]:
  """The words that `keep` wrote."""
  text = isinstance(found, list) and all(isinstance(word, str) for word in found)
  if not text or len(set(found)) < len(found):
    raise DataError(f"{path} holds no list of words, each once: train the run again")
  return found


def file_name(name: str) -> str:
  """What a run keeps the tokenizer of a name in."""
  return (
    "tokenizer.model" if name.startswith("sp:") or name.endswith(".model") else KEPT
  )


def _is_path(name: str) -> bool:
  return is_made(name) or name.endswith((".model", ".gguf", KEPT))


def _parsed(name: str) -> tuple[str, int]:
  """The kind and the number of a tokenizer that is to be made, else ("", 0)."""
  kind, _, number = name.partition(":")
  if kind not in KINDS:
    return "", 0
  least = KINDS[kind]
  count = ranges.digits(number)
  if count is None or not least <= count <= MOST_IDS:
    raise ValueError(
      f"{shown(name)} is not {kind}:N with N of at least {least}, and at most "
      f"{MOST_IDS:,}"
    )
  return kind, count
