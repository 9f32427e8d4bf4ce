"""Tokenizers that a run makes from its own training text, and keeps beside its weights.

"sp:8000" is a SentencePiece model of 8,000 pieces, exact on all text. "words:8000" has
the 8,000 most frequent words: for a task that measures bits per byte they are exact,
see `exact_words`; for others they lose text, see `lossy_words`. Any other name is that
of an existing tokenizer: see `tokenizers.get`, or the `tokenizer.json` that a run kept.

Held-out text never enters a vocabulary, and equal texts give equal tokenizers.
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
from jaxmem.tokenizers import Tokenizer, exact_words, ids, lossy_words
from jaxmem.tokenizers.exact_words import ExactWordTokenizer
from jaxmem.tokenizers.ids import MOST_IDS, OldNames
from jaxmem.tokenizers.lossy_words import WordTokenizer

# Kind of a tokenizer that a run makes -> the fewest ids that it can have.
KINDS = {"words": 300, "sp": 262}
# What stands in a text for a masked part of it.
MASK = "[MASK]"
# The file in which a run keeps its tokenizer, unless that is a SentencePiece model.
KEPT = "tokenizer.json"


class MaskTokenizer(OldNames):
  """A tokenizer that reads `MASK` in a text as one id; see `mask_id`.

  Attributes:
    vocab_size: that of the inner tokenizer; `mask_id` may be the first id above it,
      which no model writes.
    eos_id: that of the inner tokenizer, and so `start_id`.
    mask_id: the id of `MASK`.
    fingerprint: that of the inner tokenizer, after "hiding-", which files of 0.1 have.
  """

  def __init__(self, tokenizer: Tokenizer):
    """Wraps a tokenizer.

    Args:
      tokenizer: the inner one, which reads the text around the masks.
    """
    self._tokenizer = tokenizer
    self.vocab_size, self.eos_id = tokenizer.vocab_size, tokenizer.eos_id
    self.start_id = tokenizers.start_id(tokenizer)
    self.mask_id = mask_id(tokenizer)
    self.fingerprint = f"hiding-{tokenizer.fingerprint}"

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    head, *tails = data.split(MASK.encode())
    parts = [self._tokenizer.encode(head)]
    more = tokenizers.continuation(self._tokenizer)
    for tail in tails:
      parts += [np.array([self.mask_id], np.int32), more.encode(tail)]
    return np.concatenate(parts)

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the text of ids; the inner tokenizer must have them all."""
    return self._tokenizer.decode(ids)


def is_made(name: str) -> bool:
  """Returns whether a run makes the tokenizer of a name.

  Raises:
    ValueError: if it does, and the number is out of range.
  """
  return bool(_parsed(name)[0])


def size(name: str, exact: bool = False) -> int:
  """Returns the number of ids of a tokenizer; one that a run makes need not exist yet.

  Args:
    name: see the module's docstring.
    exact: whether decoding must give back the text.

  Raises:
    ValueError: if there is no such tokenizer, the number is out of range, or it is not
      exact.
  """
  kind, number = _parsed(name)
  if kind:
    return number
  return _existing(name, exact).vocab_size


def _existing(name: str, exact: bool) -> Tokenizer:
  """Returns an existing tokenizer, in its exact form if it must be exact."""
  tokenizer = get(name)
  if not exact:
    return tokenizer
  if form := tokenizers.exact_form(tokenizer):
    return form
  raise ValueError(
    f"{name!r} loses text, so bits per byte would mean nothing: take byte, sp:N, "
    "words:N, or the path of a SentencePiece .model"
  )


def mask_id(tokenizer: Tokenizer) -> int:
  """Returns the id of masked tokens: the tokenizer's `mask_id`, else one new id."""
  return getattr(tokenizer, "mask_id", tokenizer.vocab_size)


def unk_id(tokenizer: Tokenizer) -> int:
  """Returns the id of unknown words: the tokenizer's `unk_id`, else `mask_id`.

  Words that are replaced by it while training teach the model what an unknown word is
  worth (Iyyer et al. 2015).
  """
  return getattr(tokenizer, "unk_id", mask_id(tokenizer))


def size_with_mask(name: str) -> int:
  """Returns how many ids a tokenizer has with the mask id; see `size`, `mask_id`."""
  kind, number = _parsed(name)
  if kind:
    return number + 1
  tokenizer = get(name)
  return max(tokenizer.vocab_size, mask_id(tokenizer) + 1)


# Names before 0.2; they go in 0.3.
HidingTokenizer, hidden, stranger = MaskTokenizer, mask_id, unk_id
size_with_hidden = size_with_mask


def make(name: str, texts: Iterable[bytes], exact: bool = False) -> Tokenizer:
  """Returns the tokenizer of a name, made from texts if its name says so.

  Args:
    name: see the module's docstring, and `tokenizers.get`.
    texts: the training text.
    exact: whether the tokenizer must give back the text; words and a model's folder
      have a form that does.

  Raises:
    DataError: if it cannot be made from the texts.
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
  return _existing(name, exact)


def keep(tokenizer: Tokenizer, workdir: str | Path) -> None:
  """Writes the file that `kept` reads, unless the library itself has the tokenizer."""
  if file := getattr(tokenizer, "kept", None):
    name, content = file
    files.write_bytes(Path(workdir) / name, content)


def kept(name: str, workdir: str | Path) -> Tokenizer:
  """Returns the tokenizer that a run was trained with.

  Args:
    name: the name in the run's config.
    workdir: the run's directory.

  Raises:
    DataError: if its file is missing or damaged.
  """
  path = Path(workdir) / file_name(name)
  if is_made(name) and not path.is_file():
    raise DataError(f"{path} is missing, which {name!r} made: train the run again")
  # runs of earlier versions kept no copy of a tokenizer that had a file already
  return get(str(path) if _is_path(name) and path.is_file() else name)


def kept_name(name: str, workdir: str | Path) -> str:
  """Returns the name of the tokenizer that a run kept, if it can be read; else `name`.

  Args:
    name: the name in the run's config.
    workdir: the run's directory.
  """
  path = Path(workdir) / file_name(name)
  if not _is_path(name) or not path.is_file():
    return name
  try:
    get(str(path))
  except DataError:
    return name
  return str(path)


def get(name: str) -> Tokenizer:
  """Returns an existing tokenizer: a run's tokenizer.json, or that of `tokenizers.get`.

  Raises:
    DataError: see `tokenizers.get`.
    ValueError: if there is none of that name.
  """
  path = Path(name).expanduser()
  if path.name != KEPT:
    return tokenizers.get(name)
  try:
    content = files.read_json(path)
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; give a tokenizer.json"
    ) from error
  except ValueError as error:
    raise DataError(
      f"{path} is damaged ({error}): train the run again, or fetch the file again"
    ) from error
  if isinstance(content, list):
    return WordTokenizer(_words(content, path))
  match content.get("jaxmem") if isinstance(content, dict) else None:
    case exact_words.FORMAT:
      return ExactWordTokenizer(_words(content.get("pieces"), path))
    case ids.BYTE_PAIRS:
      return tokenizers.byte_pairs(content.get("parts"), str(path))
    case ids.FOLDER:
      return tokenizers.kept_folder(content.get("parts"), str(path))
  return tokenizers.get(name)  # the file of a BERT has this name too


def _words(value: Any, path: Path) -> list[str]:
  """Returns the words that `keep` wrote; raises DataError if they are none."""
  are_words = isinstance(value, list) and all(isinstance(word, str) for word in value)
  if not are_words or len(set(value)) < len(value):
    raise DataError(f"{path} holds no list of words, each once: train the run again")
  return value


def file_name(name: str) -> str:
  """Returns the name of the file in which a run keeps a tokenizer."""
  return (
    "tokenizer.model" if name.startswith("sp:") or name.endswith(".model") else KEPT
  )


def _is_path(name: str) -> bool:
  return is_made(name) or name not in ("byte", "minilm")


def _parsed(name: str) -> tuple[str, int]:
  """Returns kind and number of a tokenizer that a run makes; of others ("", 0)."""
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
